//! CrashLoopBackOff, computed from the records alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Records;

/// The first restart is immediate; each later one waits, doubled up to a limit, until the container
/// once ran for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackOff {
    /// Wait before the second restart, seconds.
    pub first_seconds: u64,
    /// Longest wait, seconds.
    pub longest_seconds: u64,
    /// A run of at least this many seconds starts the series anew.
    pub reset_after_seconds: u64,
}

impl Default for BackOff {
    /// Kubernetes' constants: 10 s doubled to 300 s, forgotten after 10 minutes of running.
    fn default() -> Self {
        Self {
            first_seconds: 10,
            longest_seconds: 300,
            reset_after_seconds: 600,
        }
    }
}

impl BackOff {
    /// Pause between the end of the last run and the next start.
    #[must_use]
    pub fn pause(&self, records: &Records) -> Duration {
        let reset = Duration::from_secs(self.reset_after_seconds);
        let short = records
            .recent
            .iter()
            .rev()
            .take_while(|r| r.ran_for() < reset)
            .count();
        let Some(doublings) = short.checked_sub(2) else {
            return Duration::ZERO;
        };
        let factor = 1_u64
            .checked_shl(u32::try_from(doublings).unwrap_or(u32::MAX))
            .unwrap_or(u64::MAX);
        Duration::from_secs(
            self.first_seconds
                .saturating_mul(factor)
                .min(self.longest_seconds),
        )
    }

    /// Time left to wait at `now` (microseconds since the epoch); never more than the pause, so a
    /// clock set back cannot hold a container for ever.
    #[must_use]
    pub fn remaining(&self, records: &Records, now: u64) -> Duration {
        let pause = self.pause(records);
        let Some(last) = records.recent.last() else {
            return Duration::ZERO;
        };
        let since = Duration::from_micros(now.saturating_sub(last.finished_at));
        pause.saturating_sub(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;

    fn runs(seconds: &[u64]) -> Records {
        let mut records = Records::default();
        for run in seconds {
            let started_at = records.recent.last().map_or(1_000_000, |r| r.finished_at);
            let finished_at = started_at + run * 1_000_000;
            records.append(Record {
                started_at,
                finished_at,
                ..Record::default()
            });
        }
        records
    }

    fn pause(seconds: &[u64]) -> u64 {
        BackOff::default().pause(&runs(seconds)).as_secs()
    }

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_double_to_five_minutes() {
        let pauses: Vec<u64> = (0..=9).map(|n| pause(&vec![1; n])).collect();
        assert_eq!(pauses, [0, 0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(pause(&[1; 200]), 300);
    }

    #[test]
    fn ten_minutes_of_running_forget_the_series() {
        assert_eq!(pause(&[1, 1, 1, 600]), 0);
        assert_eq!(pause(&[1, 1, 1, 600, 1]), 0);
        assert_eq!(pause(&[1, 1, 1, 600, 1, 1]), 10);
    }

    #[test]
    fn time_already_spent_counts_and_a_clock_set_back_waits_no_longer_than_the_pause() {
        let records = runs(&[1, 1]);
        let end = records.recent.last().unwrap().finished_at;
        let remaining = |now| BackOff::default().remaining(&records, now).as_millis();
        assert_eq!(remaining(end + 4_000_000), 6_000);
        assert_eq!(remaining(end + 11_000_000), 0);
        assert_eq!(remaining(0), 10_000);
    }
}
