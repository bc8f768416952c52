//! Runs whose end was not recorded.

use std::path::Path;

use crate::clock::now;
use crate::{Ended, Phase, Record, Records, State};

/// SIGKILL, as which a run of unknown end counts.
const SIGKILL: i32 = 9;

/// The records of the container in `dir`, with the last run's end noted where its `floe-run record` was
/// killed before it could: it must count, or a container that runs once would run again. To be called
/// while no run is under way.
#[must_use]
pub fn recover(dir: &Path) -> Records {
    // Damaged records are started anew rather than kept from ever being written again.
    let mut records = Records::read(dir).unwrap_or_default();
    let state = State::read(dir).ok().flatten();
    if let Some(record) = state.and_then(|state| lost(&state, &records, now())) {
        records.append(record);
        // What cannot be written is noted by the next call.
        drop(records.write(dir));
    }
    records
}

/// The run that `state` tells of, where it began and no record tells of its end.
fn lost(state: &State, records: &Records, now: u64) -> Option<Record> {
    let Phase::Started { at } = state.phase else {
        return None;
    };
    let recorded = |record: &Record| record.invocation_id == state.invocation_id;
    (!records.recent.iter().any(recorded)).then(|| Record {
        invocation_id: state.invocation_id.clone(),
        started_at: at,
        finished_at: now.max(at),
        result: "lost".to_owned(),
        ended: Ended::Killed,
        exit_code: 128 + SIGKILL,
        signal: SIGKILL,
        message: "how it ended is not known: its floe-run was killed before it could be recorded".to_owned(),
        ..Record::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(phase: Phase) -> State {
        State {
            invocation_id: "i1".into(),
            restart: 0,
            phase,
        }
    }

    #[test]
    fn a_run_without_a_record_is_noted_once() {
        let dir = tempfile::tempdir().unwrap();
        state(Phase::Started { at: 5 }).write(dir.path()).unwrap();
        for _ in 0..2 {
            let records = recover(dir.path());
            assert_eq!((records.total, records.last().unwrap().exit_code), (1, 137));
        }
    }

    #[test]
    fn a_run_that_never_began_or_was_recorded_is_not_noted() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(recover(dir.path()).total, 0);
        state(Phase::Waiting { until: 9 }).write(dir.path()).unwrap();
        assert_eq!(recover(dir.path()).total, 0);
        state(Phase::Started { at: 5 }).write(dir.path()).unwrap();
        let mut records = Records::default();
        records.append(Record {
            invocation_id: "i1".into(),
            ..Record::default()
        });
        records.write(dir.path()).unwrap();
        assert_eq!(recover(dir.path()), records);
    }
}
