//! When each node was last heard of, by this machine's clock. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

/// What a node wrote last, and when that was seen here.
#[derive(Debug, Clone, Copy)]
struct Word {
    heartbeat: Option<Timestamp>,
    renewed: Option<Timestamp>,
    at: Instant,
}

/// Nodes by name. Only changes count, never the times that nodes write: their clocks may be wrong.
#[derive(Debug, Default)]
pub(super) struct Hearing(BTreeMap<String, Word>);

impl Hearing {
    /// Takes note of a node's status.
    pub(super) fn status(&mut self, name: &str, heartbeat: Option<Timestamp>, now: Instant) {
        let word = self.word(name, now);
        if word.heartbeat != heartbeat {
            word.heartbeat = heartbeat;
            word.at = now;
        }
    }

    /// Takes note of a node's Lease; one that went backwards is no news.
    pub(super) fn lease(&mut self, name: &str, renewed: Option<Timestamp>, now: Instant) {
        let word = self.word(name, now);
        if renewed > word.renewed {
            word.renewed = renewed;
            word.at = now;
        }
    }

    /// How long a node has been silent; not at all where it is new here.
    pub(super) fn silence(&self, name: &str, now: Instant) -> Duration {
        let word = self.0.get(name);
        word.map_or(Duration::ZERO, |word| now.saturating_duration_since(word.at))
    }

    /// Forgets a node.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Gives every node the benefit of the doubt: as if all had been heard of now.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        for word in self.0.values_mut() {
            word.at = now;
        }
    }

    fn word(&mut self, name: &str, now: Instant) -> &mut Word {
        self.0.entry(name.to_owned()).or_insert(Word {
            heartbeat: None,
            renewed: None,
            at: now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_with_a_renewal_or_a_heartbeat_and_with_nothing_else() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let at = |second| Some(Timestamp::constant(second, 0));
        let mut hearing = Hearing::default();
        hearing.status("a", at(1), begin);
        hearing.lease("a", at(1), after(5));
        assert_eq!(hearing.silence("a", after(10)).as_secs(), 5);
        hearing.lease("a", at(1), after(20));
        hearing.status("a", at(1), after(20));
        assert_eq!(hearing.silence("a", after(20)).as_secs(), 15);
        hearing.lease("a", at(0), after(20));
        assert_eq!(hearing.silence("a", after(20)).as_secs(), 15);
        hearing.status("a", at(2), after(30));
        assert_eq!(hearing.silence("a", after(30)).as_secs(), 0);
    }

    #[test]
    fn a_node_first_seen_is_not_silent_however_old_its_words_are() {
        let now = Instant::now();
        let mut hearing = Hearing::default();
        hearing.status("a", Some(Timestamp::UNIX_EPOCH), now);
        assert_eq!(hearing.silence("a", now), Duration::ZERO);
        assert_eq!(hearing.silence("never-seen", now), Duration::ZERO);
    }
}
