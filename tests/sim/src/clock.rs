use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use controlplane_store::Clock;

/// Where all clocks of a run begin, in Unix seconds.
const START: i64 = 1_000_000;

/// A server's clock: simulated time, and how far it has been set off.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimClock(Arc<AtomicI64>);

impl SimClock {
    /// Sets it forward or back by `seconds`.
    pub(crate) fn jump(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn unix_seconds(&self) -> u64 {
        let elapsed = tokio::time::Instant::now().duration_since(crate::history::start());
        let elapsed = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
        u64::try_from(START + elapsed + self.0.load(Ordering::SeqCst)).unwrap_or(0)
    }
}
