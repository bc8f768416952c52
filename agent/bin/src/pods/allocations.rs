//! What the node has promised its pods, as one table: two that want the same last cpu do not both get it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_core::Amounts;
use agent_core::resize::{Allocation, Pending, allocation, fit, turn, with_allocation};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::wake::Wake;

/// The pods that hold something of the node.
#[derive(Debug)]
pub(crate) struct Allocations {
    allocatable: Amounts,
    shares: Mutex<BTreeMap<String, Share>>,
}

/// What one pod holds, and what it waits for.
#[derive(Debug)]
struct Share {
    /// The pod with what it is promised.
    held: Arc<Pod>,
    wish: Option<Wish>,
}

#[derive(Debug)]
struct Wish {
    wanted: Arc<Pod>,
    since: Timestamp,
    wake: Arc<Wake>,
}

impl Allocations {
    /// Of a node that offers `allocatable`.
    pub(crate) const fn new(allocatable: Amounts) -> Self {
        Self {
            allocatable,
            shares: Mutex::new(BTreeMap::new()),
        }
    }

    /// Notes that the pod holds what `held` asks for.
    pub(super) fn take(&self, uid: &str, held: Pod) {
        let share = Share {
            held: Arc::new(held),
            wish: None,
        };
        self.lock().insert(uid.to_owned(), share);
    }

    /// The pods but `uid`, with what they hold.
    pub(super) fn others(&self, uid: &str) -> Vec<Arc<Pod>> {
        let shares = self.lock();
        let others = shares.iter().filter(|(other, _)| *other != uid);
        others.map(|(_, share)| Arc::clone(&share.held)).collect()
    }

    /// Promises the pod what `wanted` asks for, where it fits beside the others and those whose turn comes before it. Where
    /// it may fit later, `wake` is stirred when something is given back.
    ///
    /// # Errors
    ///
    /// Why it does not fit.
    pub(super) fn resize(
        &self,
        uid: &str,
        wanted: &Arc<Pod>,
        wake: &Arc<Wake>,
        now: Timestamp,
    ) -> Result<Allocation, Pending> {
        let mut shares = self.lock();
        let held = shares
            .get(uid)
            .map_or_else(|| Arc::clone(wanted), |share| Arc::clone(&share.held));
        let since = shares
            .get(uid)
            .and_then(|share| share.wish.as_ref())
            .map_or(now, |wish| wish.since);
        let share = shares.entry(uid.to_owned()).or_insert(Share { held, wish: None });
        share.wish = Some(Wish {
            wanted: Arc::clone(wanted),
            since,
            wake: Arc::clone(wake),
        });
        let promised = wanted.spec.as_ref().map(allocation).unwrap_or_default();
        let decided = decide(&shares, uid, &self.allocatable);
        if let (Ok(()), Some(share)) = (&decided, shares.get_mut(uid)) {
            share.wish = None;
            share.held = Arc::new(with_allocation(wanted, &promised));
            stir(&shares);
        }
        decided.map(|()| promised).map_err(|unfit| Pending {
            generation: wanted.metadata.generation,
            unfit,
        })
    }

    /// Forgets that the pod wants something else than it holds.
    pub(super) fn content(&self, uid: &str) {
        if let Some(share) = self.lock().get_mut(uid) {
            share.wish = None;
        }
    }

    /// Gives back what the pod held.
    pub(super) fn release(&self, uid: &str) {
        let mut shares = self.lock();
        if shares.remove(uid).is_some() {
            stir(&shares);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes those that wait for something to be given back.
fn stir(shares: &BTreeMap<String, Share>) {
    let wishes = shares.values().filter_map(|share| share.wish.as_ref());
    wishes.for_each(|wish| wish.wake.stir());
}

/// Whether the wish of `uid` can be granted, after those whose turn comes before it.
fn decide(
    shares: &BTreeMap<String, Share>,
    uid: &str,
    allocatable: &Amounts,
) -> Result<(), agent_core::resize::Unfit> {
    let mut holds: BTreeMap<&str, &PodSpec> = BTreeMap::new();
    let mut waiting = Vec::new();
    for (name, share) in shares {
        let Some(held) = share.held.spec.as_ref() else {
            continue;
        };
        holds.insert(name, held);
        if let Some((wish, wanted)) = share
            .wish
            .as_ref()
            .and_then(|wish| Some((wish, wish.wanted.spec.as_ref()?)))
        {
            waiting.push((turn(wanted, held, wish.since), name.as_str(), wanted));
        }
    }
    waiting.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    for (_, name, wanted) in waiting {
        let others = holds
            .iter()
            .filter(|(other, _)| **other != name)
            .map(|(_, spec)| *spec);
        let fits = fit(wanted, allocatable, others);
        if name == uid {
            return fits;
        }
        if fits.is_ok() {
            holds.insert(name, wanted);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::resize::Reason;
    use serde_json::json;

    fn pod(cpu: &str, priority: i32) -> Pod {
        let resources = json!({"requests": {"cpu": cpu}});
        serde_json::from_value(json!({
            "spec": {"priority": priority, "containers": [{"name": "c", "resources": resources}]},
        }))
        .unwrap()
    }

    fn table(held: &[(&str, &str)]) -> Allocations {
        let table = Allocations::new(Amounts::from([("cpu".to_owned(), 1000)]));
        for (uid, cpu) in held {
            table.take(uid, pod(cpu, 0));
        }
        table
    }

    fn asks(table: &Allocations, uid: &str, cpu: &str, priority: i32) -> Result<(), Reason> {
        let wanted = Arc::new(pod(cpu, priority));
        let asked = table.resize(uid, &wanted, &Arc::default(), Timestamp::UNIX_EPOCH);
        asked.map(drop).map_err(|pending| pending.unfit.reason)
    }

    #[test]
    fn the_last_cpu_is_promised_once() {
        let table = table(&[("a", "400m"), ("b", "400m")]);
        assert_eq!(asks(&table, "a", "600m", 0), Ok(()));
        assert_eq!(asks(&table, "b", "500m", 0), Err(Reason::Deferred));
        assert_eq!(asks(&table, "b", "1001m", 0), Err(Reason::Infeasible));
        assert_eq!(asks(&table, "a", "500m", 0), Ok(()));
        assert_eq!(asks(&table, "b", "500m", 0), Ok(()));
    }

    #[test]
    fn what_is_given_back_goes_to_the_pod_of_the_highest_priority() {
        let table = table(&[("a", "400m"), ("b", "400m"), ("c", "200m")]);
        assert_eq!(asks(&table, "a", "600m", 0), Err(Reason::Deferred));
        assert_eq!(asks(&table, "b", "600m", 1000), Err(Reason::Deferred));
        table.release("c");
        assert_eq!(
            asks(&table, "a", "600m", 0),
            Err(Reason::Deferred),
            "it is the other's turn"
        );
        assert_eq!(asks(&table, "b", "600m", 1000), Ok(()));
        assert_eq!(table.others("a").len(), 1);
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_something_is_given_back() {
        let table = table(&[("a", "600m"), ("b", "400m")]);
        let wake = Arc::<Wake>::default();
        let wanted = Arc::new(pod("700m", 0));
        let asked = table.resize("a", &wanted, &wake, Timestamp::UNIX_EPOCH);
        assert!(asked.is_err());
        table.release("b");
        let woken = tokio::time::timeout(std::time::Duration::from_secs(5), wake.woken());
        woken.await.expect("it is woken");
    }
}
