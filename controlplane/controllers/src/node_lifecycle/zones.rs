//! How fast nodes may be emptied, by zone: the sicker a zone, the less is its nodes' fault. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Nodes emptied a second in a healthy zone.
const RATE: f64 = 0.1;
/// Nodes emptied a second in a large zone that is unhealthy in part; a small one waits.
const SLOW_RATE: f64 = 0.01;
/// Share of nodes not ready from which a zone is unhealthy.
const UNHEALTHY: f64 = 0.55;
/// Nodes beyond which a zone is large.
const LARGE: usize = 50;
/// Pause before a zone that is not emptied at all is looked at again.
const HALT: Duration = Duration::from_secs(5);

/// How a zone does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Normal,
    Partial,
    /// No node is ready.
    Full,
}

#[derive(Debug, Clone)]
struct Member {
    zone: String,
    ready: bool,
}

/// One node may be emptied at once; the next when this is full again.
#[derive(Debug, Clone)]
struct Bucket {
    level: f64,
    filled: Instant,
}

/// Zones and the nodes in them.
#[derive(Debug, Default)]
pub(super) struct Zones {
    members: BTreeMap<String, Member>,
    buckets: BTreeMap<String, Bucket>,
    disrupted: bool,
}

/// What a change of a node means for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shift {
    /// Nothing.
    None,
    /// No node anywhere is ready any more: it is the control plane that is cut off.
    AllLost,
    /// Nodes are ready again.
    Recovered,
}

impl Zones {
    /// Takes note of a node.
    pub(super) fn see(&mut self, node: &str, zone: String, ready: bool) -> Shift {
        self.members.insert(node.to_owned(), Member { zone, ready });
        self.shift()
    }

    /// Forgets a node.
    pub(super) fn forget(&mut self, node: &str) -> Shift {
        self.members.remove(node);
        self.shift()
    }

    /// Whether no node anywhere is ready; then none is emptied.
    pub(super) fn is_disrupted(&self) -> bool {
        self.disrupted
    }

    /// Asks to empty a node in `zone` at `now`; says how long to wait where it is too early.
    pub(super) fn take(&mut self, zone: &str, now: Instant) -> Result<(), Duration> {
        let rate = self.rate(zone);
        if rate <= 0.0 {
            return Err(HALT);
        }
        let bucket = self.buckets.entry(zone.to_owned()).or_insert(Bucket {
            level: 1.0,
            filled: now,
        });
        let gained = now.saturating_duration_since(bucket.filled).as_secs_f64() * rate;
        bucket.level = (bucket.level + gained).min(1.0);
        bucket.filled = now;
        if bucket.level >= 1.0 {
            bucket.level = 0.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.level) / rate))
    }

    /// Takes back a [`take`](Self::take) of which nothing came.
    pub(super) fn give_back(&mut self, zone: &str) {
        if let Some(bucket) = self.buckets.get_mut(zone) {
            bucket.level = 1.0;
        }
    }

    fn rate(&self, zone: &str) -> f64 {
        if self.disrupted {
            return 0.0;
        }
        let size = self.in_zone(zone).count();
        match self.state(zone) {
            State::Normal | State::Full => RATE,
            State::Partial if size > LARGE => SLOW_RATE,
            State::Partial => 0.0,
        }
    }

    fn in_zone<'a>(&'a self, zone: &'a str) -> impl Iterator<Item = &'a Member> {
        self.members.values().filter(move |member| member.zone == zone)
    }

    fn state(&self, zone: &str) -> State {
        let ready = self.in_zone(zone).filter(|member| member.ready).count();
        let lost = self.in_zone(zone).count() - ready;
        match (ready, lost) {
            (0, 1..) => State::Full,
            (_, 3..) if share(lost, ready + lost) >= UNHEALTHY => State::Partial,
            _ => State::Normal,
        }
    }

    fn shift(&mut self) -> Shift {
        let lost = !self.members.is_empty() && self.members.values().all(|member| !member.ready);
        let before = std::mem::replace(&mut self.disrupted, lost);
        match (before, lost) {
            (false, true) => Shift::AllLost,
            (true, false) => Shift::Recovered,
            (true, true) | (false, false) => Shift::None,
        }
    }
}

/// Counts of nodes are far below what a float holds exactly.
fn share(part: usize, whole: usize) -> f64 {
    let float = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    float(part) / float(whole).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(ready: usize, lost: usize) -> Zones {
        let mut zones = Zones::default();
        zones.see("elsewhere", "b".to_owned(), true);
        for n in 0..ready + lost {
            zones.see(&n.to_string(), "a".to_owned(), n < ready);
        }
        zones
    }

    #[test]
    fn zones_are_judged_by_the_documented_thresholds() {
        for (ready, lost, expected) in [
            (3, 0, State::Normal),
            (1, 2, State::Normal),
            (3, 3, State::Normal),
            (2, 3, State::Partial),
            (0, 1, State::Full),
            (0, 0, State::Normal),
        ] {
            assert_eq!(zones(ready, lost).state("a"), expected, "{ready} {lost}");
        }
    }

    #[test]
    fn one_node_is_emptied_at_once_and_the_next_after_ten_seconds() {
        let mut zones = zones(9, 2);
        let now = Instant::now();
        assert_eq!(zones.take("a", now), Ok(()));
        assert_eq!(zones.take("a", now), Err(Duration::from_secs(10)));
        assert_eq!(zones.take("b", now), Ok(()));
        assert_eq!(zones.take("a", now + Duration::from_secs(10)), Ok(()));
        zones.give_back("a");
        assert_eq!(zones.take("a", now + Duration::from_secs(10)), Ok(()));
    }

    #[test]
    fn an_unhealthy_zone_waits_where_it_is_small_and_goes_slowly_where_it_is_large() {
        let now = Instant::now();
        assert_eq!(zones(2, 8).take("a", now), Err(HALT));
        let mut large = zones(20, 40);
        assert_eq!(large.take("a", now), Ok(()));
        assert_eq!(large.take("a", now), Err(Duration::from_secs(100)));
    }

    #[test]
    fn where_no_node_is_ready_nobody_is_emptied_until_some_are() {
        let mut zones = Zones::default();
        assert_eq!(zones.see("a", String::new(), true), Shift::None);
        assert_eq!(zones.see("a", String::new(), false), Shift::AllLost);
        assert!(zones.is_disrupted());
        assert_eq!(zones.take("", Instant::now()), Err(HALT));
        assert_eq!(zones.see("b", String::new(), true), Shift::Recovered);
    }
}
