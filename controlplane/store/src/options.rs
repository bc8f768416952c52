use std::sync::Arc;

use crate::{Clock, Retention, SystemClock};

/// How a store behaves; [`Options::default`] is meant for production.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much history is kept for old reads and for watches that resume or are slow.
    pub history: Retention,
    /// Transactions that may wait for the proposer; further callers wait for a place.
    pub queue: usize,
    /// Transactions that share one disk write.
    pub group: usize,
    /// Largest transaction in bytes of keys and values.
    pub max_txn_bytes: usize,
    /// The time by which values expire and history ages.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: Retention::default(),
            queue: 1024,
            group: 256,
            max_txn_bytes: 8 << 20,
            clock: Arc::new(SystemClock),
        }
    }
}
