//! The pods that wait, and when each is tried next. Pure: time enters as an argument.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::facts::PodFacts;
use k8s_openapi::jiff::Timestamp;

/// Pause after the first failed try; doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(10);

/// The order in which ready pods are tried: by priority, then by age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    priority: Reverse<i32>,
    created: Timestamp,
    uid: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// May be tried now.
    Ready,
    /// May be tried from this moment on.
    BackingOff(Instant),
    /// Not tried before something changes.
    Parked,
    /// Handed out by [`Queue::pop`]; a wake-up meanwhile is remembered.
    InHand { woken: bool },
}

#[derive(Debug, Clone)]
struct Entry {
    pod: Arc<PodFacts>,
    attempts: u32,
    /// Not tried again before this moment.
    rested: Instant,
    place: Place,
}

/// Why a try did not place the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No node fits: only a change of the cluster helps.
    Unschedulable,
    /// A call failed: time may help.
    Call,
}

/// Waiting pods by UID.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: BTreeMap<String, Entry>,
    ready: BTreeSet<Turn>,
    alarms: BTreeSet<(Instant, String)>,
    /// UIDs of the pods that mind who else is where.
    minding: BTreeSet<String>,
}

impl Queue {
    /// Adds a pod, or renews what is known of it. News about what a parked pod needs make it ready.
    pub(crate) fn offer(&mut self, pod: PodFacts, now: Instant) {
        let uid = pod.uid.clone();
        if pod.minds_company() {
            self.minding.insert(uid.clone());
        } else {
            self.minding.remove(&uid);
        }
        let Some(entry) = self.entries.get(&uid) else {
            let pod = Arc::new(pod);
            let entry = Entry {
                pod,
                attempts: 0,
                rested: now,
                place: Place::Parked,
            };
            self.entries.insert(uid.clone(), entry);
            self.settle(&uid, Place::Ready);
            return;
        };
        let changed = !same_wish(&entry.pod, &pod);
        let place = entry.place;
        // The turn depends on the pod, so it is taken off the list under its old one.
        self.unlist(&uid);
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.pod = Arc::new(pod);
            entry.place = Place::Parked;
        }
        self.settle(&uid, place);
        if changed {
            self.wake_one(&uid, now);
        }
    }

    /// Forgets a pod.
    pub(crate) fn remove(&mut self, uid: &str) {
        self.unlist(uid);
        self.entries.remove(uid);
        self.minding.remove(uid);
    }

    /// Forgets all pods but those named.
    pub(crate) fn retain(&mut self, seen: &BTreeSet<String>) {
        let gone: Vec<String> = self
            .entries
            .keys()
            .filter(|uid| !seen.contains(*uid))
            .cloned()
            .collect();
        for uid in gone {
            self.remove(&uid);
        }
    }

    /// The pod whose turn it is at `now`; it stays in hand until [`failed`](Self::failed) or
    /// [`remove`](Self::remove).
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Arc<PodFacts>> {
        self.ring(now);
        let turn = self.ready.first().cloned()?;
        self.settle(&turn.uid, Place::InHand { woken: false });
        let entry = self.entries.get_mut(&turn.uid)?;
        entry.attempts = entry.attempts.saturating_add(1);
        Some(entry.pod.clone())
    }

    /// Notes that a try failed at `now`.
    pub(crate) fn failed(&mut self, uid: &str, failure: Failure, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else {
            return;
        };
        entry.rested = now + pause(entry.attempts);
        let woken = matches!(entry.place, Place::InHand { woken: true });
        let place = if woken || failure == Failure::Call {
            Place::BackingOff(entry.rested)
        } else {
            Place::Parked
        };
        self.settle(uid, place);
    }

    /// Makes all parked pods ready, those too lately tried after their pause.
    pub(crate) fn wake(&mut self, now: Instant) {
        let uids: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.place, Place::Parked | Place::InHand { .. }))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in uids {
            self.wake_one(&uid, now);
        }
    }

    /// Makes the parked pods ready that mind who else is where.
    pub(crate) fn wake_minding(&mut self, now: Instant) {
        let uids: Vec<String> = self.minding.iter().cloned().collect();
        for uid in uids {
            self.wake_one(&uid, now);
        }
    }

    /// When the next pause is over, if nothing is ready now.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    fn wake_one(&mut self, uid: &str, now: Instant) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        let place = match entry.place {
            Place::InHand { .. } => Place::InHand { woken: true },
            Place::Parked if entry.rested > now => Place::BackingOff(entry.rested),
            Place::Parked => Place::Ready,
            waiting @ (Place::Ready | Place::BackingOff(_)) => waiting,
        };
        self.settle(uid, place);
    }

    /// Readies the pods whose pause is over.
    fn ring(&mut self, now: Instant) {
        while let Some((at, uid)) = self.alarms.first().cloned() {
            if at > now {
                return;
            }
            self.settle(&uid, Place::Ready);
        }
    }

    fn settle(&mut self, uid: &str, place: Place) {
        self.unlist(uid);
        let Some(entry) = self.entries.get_mut(uid) else {
            return;
        };
        entry.place = place;
        match place {
            Place::Ready => {
                self.ready.insert(turn(&entry.pod));
            }
            Place::BackingOff(at) => {
                self.alarms.insert((at, uid.to_owned()));
            }
            Place::Parked | Place::InHand { .. } => {}
        }
    }

    fn unlist(&mut self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        match entry.place {
            Place::Ready => {
                self.ready.remove(&turn(&entry.pod));
            }
            Place::BackingOff(at) => {
                self.alarms.remove(&(at, uid.to_owned()));
            }
            Place::Parked | Place::InHand { .. } => {}
        }
    }
}

fn turn(pod: &PodFacts) -> Turn {
    Turn {
        priority: Reverse(pod.priority),
        created: pod.created,
        uid: pod.uid.clone(),
    }
}

fn pause(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

/// Whether two readings of a pod ask for the same; its condition does not matter, for the
/// scheduler itself writes it.
fn same_wish(old: &PodFacts, new: &PodFacts) -> bool {
    let bare = |pod: &PodFacts| PodFacts {
        condition: None,
        reference: Default::default(),
        ..pod.clone()
    };
    bare(old) == bare(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, social_pod};

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_more_important_pod_comes_first_then_the_older() {
        let now = Instant::now();
        let mut queue = Queue::default();
        let mut important = pod("z", 0);
        important.priority = 10;
        let mut older = pod("y", 0);
        older.created = Timestamp::UNIX_EPOCH;
        let mut younger = pod("a", 0);
        younger.created = Timestamp::constant(10, 0);
        for pod in [younger, older, important] {
            queue.offer(pod, now);
        }
        let order: Vec<String> = std::iter::from_fn(|| queue.pop(now).map(|pod| pod.uid.clone())).collect();
        assert_eq!(order, ["z", "y", "a"]);
    }

    #[test]
    fn an_unschedulable_pod_is_left_alone_until_the_cluster_changes() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.offer(pod("a", 0), now);
        queue.pop(now).unwrap();
        queue.failed("a", Failure::Unschedulable, now);
        assert!(queue.pop(now + seconds(600)).is_none());
        queue.wake(now + seconds(600));
        assert!(queue.pop(now + seconds(600)).is_some());
    }

    #[test]
    fn pauses_grow_from_one_to_ten_seconds() {
        let mut now = Instant::now();
        let mut queue = Queue::default();
        queue.offer(pod("a", 0), now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            queue.pop(now).unwrap();
            queue.failed("a", Failure::Call, now);
            let next = queue.next_alarm().unwrap();
            pauses.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn a_change_during_a_try_is_not_missed() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.offer(pod("a", 0), now);
        queue.pop(now).unwrap();
        queue.wake(now);
        queue.failed("a", Failure::Unschedulable, now);
        assert_eq!(queue.next_alarm(), Some(now + seconds(1)));
    }

    #[test]
    fn new_company_wakes_only_those_who_mind() {
        let now = Instant::now();
        let mut queue = Queue::default();
        let term = serde_json::json!({ "topologyKey": "zone", "labelSelector": {} });
        let near = serde_json::json!({
            "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] },
        });
        for pod in [pod("a", 0), social_pod("b", "web", near)] {
            let uid = pod.uid.clone();
            queue.offer(pod, now);
            queue.pop(now).unwrap();
            queue.failed(&uid, Failure::Unschedulable, now);
        }
        let later = now + seconds(60);
        queue.wake_minding(later);
        assert_eq!(queue.pop(later).unwrap().uid, "b");
        assert!(queue.pop(later).is_none());
    }

    #[test]
    fn a_smaller_request_is_tried_again() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.offer(pod("a", 500), now);
        queue.pop(now).unwrap();
        queue.failed("a", Failure::Unschedulable, now);
        queue.offer(pod("a", 500), now + seconds(5));
        assert!(queue.pop(now + seconds(5)).is_none());
        queue.offer(pod("a", 100), now + seconds(5));
        assert!(queue.pop(now + seconds(5)).is_some());
    }
}
