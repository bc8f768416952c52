//! What the server has done, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of the server; they only grow.
        #[derive(Debug, Default)]
        pub struct Counts {
            $($(#[$doc])* pub(crate) $name: Count,)*
        }

        /// The counters at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            /// The counters as they are.
            #[must_use]
            pub fn totals(&self) -> Totals {
                Totals { $($name: self.$name.get(),)* }
            }
        }
    };
}

counts! {
    /// Messages over UDP.
    udp_queries,
    /// Messages over TCP.
    tcp_queries,
    /// Answers from the cluster's zone.
    cluster_answers,
    /// Answers to other names from the cache.
    cache_hits,
    /// Answers past their time, since no upstream answered.
    stale_answers,
    /// Questions put to an upstream.
    forwarded,
    /// Questions that no upstream answered.
    upstream_failures,
    /// Messages that were refused: malformed, or of a kind that is not served.
    refused,
    /// Messages that got no answer: no question, or too many at once.
    dropped,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
