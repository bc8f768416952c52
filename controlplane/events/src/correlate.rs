//! Which events are new, which are repeated, which are too many. Pure.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// What makes two events the same event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// UID of the object it is about, or its name where it has none.
    pub object: String,
    /// `Normal` or `Warning`.
    pub severity: &'static str,
    /// The one-word reason.
    pub reason: String,
    /// The sentence.
    pub message: String,
}

/// What to do with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Write a new object.
    Create,
    /// Raise the count of the object written before.
    Repeat {
        /// Name of that object.
        name: String,
        /// The new count.
        count: i32,
    },
    /// The object has had too many events lately.
    Drop,
}

#[derive(Debug, Clone)]
struct Known {
    name: String,
    count: i32,
    last: Timestamp,
}

#[derive(Debug, Clone)]
struct Bucket {
    tokens: f64,
    refilled: Timestamp,
}

/// Remembers the events of the last while, in bounded memory.
#[derive(Debug, Default)]
pub struct Correlator {
    known: BTreeMap<Identity, Known>,
    buckets: BTreeMap<String, Bucket>,
}

impl Correlator {
    /// Events one object may send at once, as client-go's spam filter has it.
    pub const BURST: f64 = 25.0;
    /// Seconds after which an object may send one more.
    pub const REFILL_SECONDS: f64 = 300.0;
    /// Identities kept; beyond it the older half is forgotten.
    pub const CAPACITY: usize = 4096;
    /// A repetition later than this is a new event: the object may have expired by then.
    pub const MEMORY: SignedDuration = SignedDuration::from_mins(10);

    /// Decides about `event` at `now`.
    pub fn decide(&mut self, event: &Identity, now: Timestamp) -> Decision {
        if !self.take_token(&event.object, now) {
            return Decision::Drop;
        }
        match self.known.get_mut(event) {
            Some(known) if now.duration_since(known.last) <= Self::MEMORY => {
                known.count = known.count.saturating_add(1);
                known.last = now;
                Decision::Repeat {
                    name: known.name.clone(),
                    count: known.count,
                }
            }
            _ => Decision::Create,
        }
    }

    /// Notes that `event` was written as the object `name`.
    pub fn created(&mut self, event: Identity, name: String, now: Timestamp) {
        if self.known.len() >= Self::CAPACITY {
            self.forget_older_half();
        }
        self.known.insert(
            event,
            Known {
                name,
                count: 1,
                last: now,
            },
        );
    }

    /// Notes that the object of `event` is gone, so that the next one is created anew.
    pub fn lost(&mut self, event: &Identity) {
        self.known.remove(event);
    }

    fn take_token(&mut self, object: &str, now: Timestamp) -> bool {
        if self.buckets.len() >= Self::CAPACITY {
            self.forget_full_buckets(now);
        }
        let bucket = self.buckets.entry(object.to_owned()).or_insert(Bucket {
            tokens: Self::BURST,
            refilled: now,
        });
        bucket.tokens = refilled(bucket, now);
        bucket.refilled = now;
        let granted = bucket.tokens >= 1.0;
        if granted {
            bucket.tokens -= 1.0;
        }
        granted
    }

    fn forget_older_half(&mut self) {
        let mut times: Vec<Timestamp> = self.known.values().map(|known| known.last).collect();
        times.sort_unstable();
        if let Some(middle) = times.get(times.len() / 2).copied() {
            self.known.retain(|_, known| known.last > middle);
        }
    }

    fn forget_full_buckets(&mut self, now: Timestamp) {
        self.buckets
            .retain(|_, bucket| refilled(bucket, now) < Self::BURST);
        if self.buckets.len() >= Self::CAPACITY {
            self.buckets.clear();
        }
    }
}

fn refilled(bucket: &Bucket, now: Timestamp) -> f64 {
    let seconds = now.duration_since(bucket.refilled).as_secs_f64().max(0.0);
    (bucket.tokens + seconds / Correlator::REFILL_SECONDS).min(Correlator::BURST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn event(message: &str) -> Identity {
        Identity {
            object: "uid-1".into(),
            severity: "Normal",
            reason: "Scaled".into(),
            message: message.into(),
        }
    }

    #[test]
    fn the_same_event_again_raises_the_count() {
        let mut correlator = Correlator::default();
        assert_eq!(correlator.decide(&event("a"), at(0)), Decision::Create);
        correlator.created(event("a"), "x.1".into(), at(0));
        assert_eq!(
            correlator.decide(&event("a"), at(5)),
            Decision::Repeat {
                name: "x.1".into(),
                count: 2
            }
        );
        assert_eq!(correlator.decide(&event("b"), at(6)), Decision::Create);
    }

    #[test]
    fn a_repetition_after_a_long_silence_is_a_new_event() {
        let mut correlator = Correlator::default();
        correlator.created(event("a"), "x.1".into(), at(0));
        assert_eq!(correlator.decide(&event("a"), at(3600)), Decision::Create);
    }

    #[test]
    fn an_object_that_floods_is_held_back_and_recovers() {
        let mut correlator = Correlator::default();
        let decisions: Vec<Decision> = (0..30)
            .map(|n| correlator.decide(&event(&n.to_string()), at(0)))
            .collect();
        assert_eq!(decisions.iter().filter(|d| **d == Decision::Drop).count(), 5);
        assert_eq!(correlator.decide(&event("late"), at(301)), Decision::Create);
    }

    #[test]
    fn memory_stays_bounded() {
        let mut correlator = Correlator::default();
        for n in 0..3 * Correlator::CAPACITY {
            let id = Identity {
                object: n.to_string(),
                ..event("a")
            };
            let now = at(i64::try_from(n).unwrap());
            correlator.decide(&id, now);
            correlator.created(id, "x".into(), now);
        }
        assert!(correlator.known.len() <= Correlator::CAPACITY);
        assert!(correlator.buckets.len() <= Correlator::CAPACITY);
    }
}
