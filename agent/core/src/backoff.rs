//! The back-off of image pulls, and how the API's messages write a wait. The back-off of restarts is
//! `floe-run`'s and comes with the observation.

use std::time::Duration;

/// The longest wait of the back-off.
pub const LONGEST: Duration = Duration::from_mins(5);

/// The first wait of the back-off.
pub const FIRST: Duration = Duration::from_secs(10);

/// Wait after failed pull number `failures` (from 1): 10 s doubled to 300 s.
#[must_use]
pub fn pull_delay(failures: u32) -> Duration {
    doubled(failures.saturating_sub(1))
}

fn doubled(times: u32) -> Duration {
    FIRST
        .saturating_mul(1_u32.checked_shl(times.min(16)).unwrap_or(u32::MAX))
        .min(LONGEST)
}

/// `10s`, `1m20s`, `5m0s`: the way the back-off messages write durations.
#[must_use]
pub fn go_duration(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    if minutes == 0 {
        format!("{seconds}s")
    } else {
        format!("{minutes}m{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_wait_ten_seconds_doubled_to_five_minutes() {
        let waits: Vec<u64> = (1..8).map(|n| pull_delay(n).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(pull_delay(u32::MAX), LONGEST);
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        assert_eq!(go_duration(Duration::from_secs(80)), "1m20s");
        assert_eq!(go_duration(Duration::from_secs(10)), "10s");
        assert_eq!(go_duration(LONGEST), "5m0s");
    }
}
