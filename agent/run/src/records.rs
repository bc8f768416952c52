//! How the container's earlier runs ended: the truth about the past.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::launch::RECORDS_FILE;
use crate::{FormatError, file};

/// Records kept; older ones only count in `total`.
pub const MAX_RECORDS: usize = 10;

/// The ends of one container's runs, oldest first. `records.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// Runs that ended, ever: the restart number of the run that comes next.
    pub total: u64,
    /// The last [`MAX_RECORDS`] of them.
    pub recent: Vec<Record>,
}

/// One run that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// systemd's id of the run: the container ID and the log of the instance go by it.
    pub invocation_id: String,
    /// Restarts before this run.
    pub restart: u64,
    /// Start, microseconds since the epoch.
    pub started_at: u64,
    /// End, microseconds since the epoch.
    pub finished_at: u64,
    /// systemd's `Result=`: `success`, `exit-code`, `signal`, `core-dump`, `oom-kill`, `timeout`, ….
    pub result: String,
    /// How the main process ended.
    pub ended: Ended,
    /// Exit status, or 128 and the signal's number, as Kubernetes counts it.
    pub exit_code: i32,
    /// Number of the signal that ended it, 0 for none.
    pub signal: i32,
    /// Why it never started; the container did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_error: Option<String>,
    /// What the container left in its termination message file, at most 4096 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// `$EXIT_CODE` of systemd.exec(5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// It exited by itself.
    #[default]
    Exited,
    /// A signal ended it.
    Killed,
    /// A signal ended it, with a core dump.
    Dumped,
}

impl Record {
    /// How long it ran.
    #[must_use]
    pub fn ran_for(&self) -> Duration {
        Duration::from_micros(self.finished_at.saturating_sub(self.started_at))
    }
}

impl Records {
    /// Adds `record`, numbering it, and forgets the oldest beyond [`MAX_RECORDS`].
    pub fn append(&mut self, mut record: Record) {
        record.restart = self.total;
        self.total += 1;
        self.recent.push(record);
        let excess = self.recent.len().saturating_sub(MAX_RECORDS);
        self.recent.drain(..excess);
    }

    /// The run that ended last.
    #[must_use]
    pub fn last(&self) -> Option<&Record> {
        self.recent.last()
    }

    /// Reads `records.json` of the container's directory; none are there before the first end.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it.
    pub fn read(dir: &Path) -> Result<Self, FormatError> {
        Ok(file::read(&dir.join(RECORDS_FILE))?.unwrap_or_default())
    }

    /// Replaces `records.json` by rename.
    ///
    /// # Errors
    ///
    /// Names the file and why it could not be written.
    pub fn write(&self, dir: &Path) -> Result<(), FormatError> {
        file::replace(&dir.join(RECORDS_FILE), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_bounded_and_the_total_is_not() {
        let mut records = Records::default();
        for n in 0..25 {
            records.append(Record {
                started_at: n,
                ..Record::default()
            });
        }
        assert_eq!(records.total, 25);
        assert_eq!(records.recent.len(), MAX_RECORDS);
        assert_eq!(records.last().unwrap().restart, 24);
    }

    #[test]
    fn records_survive_a_round_trip_by_rename() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Records::read(dir.path()).unwrap(), Records::default());
        let mut records = Records::default();
        records.append(Record {
            result: "oom-kill".into(),
            ended: Ended::Killed,
            signal: 9,
            ..Record::default()
        });
        records.write(dir.path()).unwrap();
        assert_eq!(Records::read(dir.path()).unwrap(), records);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
