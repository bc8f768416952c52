//! Rates and percentiles.

use std::time::Duration;

use serde_json::{Value, json};

/// How many of `count` happened each second.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]
pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// The median, the 99th percentile by nearest rank, and the longest, in milliseconds.
pub(crate) fn latency(mut took: Vec<Duration>) -> Value {
    took.sort_unstable();
    let at = |share: usize| {
        let rank = (took.len() * share).div_ceil(100).max(1);
        took.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    json!({"p50_ms": at(50), "p99_ms": at(99), "max_ms": at(100)})
}
