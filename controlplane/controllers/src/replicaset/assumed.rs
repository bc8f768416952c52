//! What the controller did and its cache does not show yet.
//!
//! A pod just created is missing from the cache for a moment; counted by the cache alone it would
//! be created twice. So the outcome of each write is laid over the cache until the watch has
//! caught up with it: exactly, by resource version, and without any timeout.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

use crate::meta;

/// Pods written and not yet seen.
#[derive(Debug, Default)]
pub(crate) struct Assumed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By UID: the pod as the server answered.
    created: BTreeMap<String, Entry<Arc<Pod>>>,
    /// By UID: pods whose deletion was asked for.
    deleted: BTreeMap<String, Entry<()>>,
    /// The highest resource version the watch has delivered.
    seen: u64,
    /// Raised when a new list begins.
    epoch: u64,
}

/// An assumption and the epoch it was made in: a list begun later includes its effect.
#[derive(Debug)]
struct Entry<T> {
    epoch: u64,
    value: T,
}

impl Assumed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what the watch delivered, after the cache has.
    pub(crate) fn observe(&self, event: &Event<Pod>) {
        let mut state = self.lock();
        match event {
            Event::Init => state.epoch += 1,
            Event::InitApply(pod) => state.see(pod),
            Event::InitDone => state.forget_before_list(),
            Event::Apply(pod) => {
                state.see(pod);
                if meta::is_deleting(&pod.metadata) {
                    state.deleted.remove(meta::uid(&pod.metadata));
                }
            }
            Event::Delete(pod) => {
                state.see(pod);
                state.deleted.remove(meta::uid(&pod.metadata));
            }
        }
    }

    /// Lays a created pod over the cache, unless the watch was faster than the answer.
    pub(crate) fn created(&self, pod: Pod) {
        let mut state = self.lock();
        if meta::resource_version(&pod.metadata) > state.seen {
            let uid = meta::uid(&pod.metadata).to_owned();
            let epoch = state.epoch;
            let value = Arc::new(pod);
            state.created.insert(uid, Entry { epoch, value });
        }
    }

    /// Lays a deletion over the cache, unless the cache shows it already.
    pub(crate) fn deleted(&self, pod: &Pod, cache: &Store<Pod>) {
        // Under the lock: the watch fills the cache first and calls `observe` after, so a
        // deletion that the cache lacks here is still to be observed.
        let mut state = self.lock();
        let cached = cache.get(&ObjectRef::from_obj(pod));
        let stale = cached.is_some_and(|cached| {
            cached.metadata.uid == pod.metadata.uid && !meta::is_deleting(&cached.metadata)
        });
        if stale {
            let epoch = state.epoch;
            let uid = meta::uid(&pod.metadata).to_owned();
            state.deleted.insert(uid, Entry { epoch, value: () });
        }
    }

    /// The cache's pods that `wanted` picks, with the assumptions laid over them: a pod whose
    /// deletion was asked for is shown as being deleted.
    pub(crate) fn view(&self, cache: &Store<Pod>, wanted: impl Fn(&Pod) -> bool) -> Vec<Arc<Pod>> {
        let state = self.lock();
        let mut pods = cache.state_filter(|pod| wanted(pod));
        for pod in &mut pods {
            if state.deleted.contains_key(meta::uid(&pod.metadata)) {
                mark_deleting(pod);
            }
        }
        let missing = state
            .created
            .values()
            .map(|entry| &entry.value)
            .filter(|pod| wanted(pod) && pods.iter().all(|seen| seen.metadata.uid != pod.metadata.uid));
        let missing: Vec<Arc<Pod>> = missing.cloned().collect();
        pods.extend(missing);
        pods
    }
}

fn mark_deleting(pod: &mut Arc<Pod>) {
    let pod = Arc::make_mut(pod);
    if pod.metadata.deletion_timestamp.is_none() {
        pod.metadata.deletion_timestamp = pod.metadata.creation_timestamp.clone();
    }
}

impl State {
    fn see(&mut self, pod: &Pod) {
        self.seen = self.seen.max(meta::resource_version(&pod.metadata));
        self.created.remove(meta::uid(&pod.metadata));
    }

    fn forget_before_list(&mut self) {
        let epoch = self.epoch;
        self.created.retain(|_, entry| entry.epoch >= epoch);
        self.deleted.retain(|_, entry| entry.epoch >= epoch);
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;
    use kube::runtime::reflector::store;
    use kube::runtime::reflector::store::Writer;

    use super::*;

    fn pod(uid: &str, version: u64) -> Pod {
        Pod {
            metadata: ObjectMeta {
                name: Some(uid.to_owned()),
                namespace: Some("default".into()),
                uid: Some(uid.to_owned()),
                resource_version: Some(version.to_string()),
                creation_timestamp: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                    k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
                )),
                ..ObjectMeta::default()
            },
            ..Pod::default()
        }
    }

    fn deliver(assumed: &Assumed, writer: &mut Writer<Pod>, event: &Event<Pod>) {
        writer.apply_watcher_event(event);
        assumed.observe(event);
    }

    #[test]
    fn a_created_pod_is_counted_once_before_and_after_the_watch_shows_it() {
        let (cache, mut writer) = store();
        let assumed = Assumed::default();
        assumed.created(pod("a", 5));
        assert_eq!(assumed.view(&cache, |_| true).len(), 1);
        deliver(&assumed, &mut writer, &Event::Apply(pod("a", 5)));
        assert_eq!(assumed.view(&cache, |_| true).len(), 1);
        deliver(&assumed, &mut writer, &Event::Delete(pod("a", 6)));
        assert_eq!(assumed.view(&cache, |_| true).len(), 0);
    }

    #[test]
    fn an_answer_slower_than_the_watch_leaves_no_ghost() {
        let (cache, mut writer) = store();
        let assumed = Assumed::default();
        deliver(&assumed, &mut writer, &Event::Apply(pod("a", 5)));
        deliver(&assumed, &mut writer, &Event::Delete(pod("a", 6)));
        assumed.created(pod("a", 5));
        assert_eq!(assumed.view(&cache, |_| true).len(), 0);
    }

    #[test]
    fn a_deleted_pod_no_longer_counts_though_the_cache_still_has_it() {
        let (cache, mut writer) = store();
        let assumed = Assumed::default();
        deliver(&assumed, &mut writer, &Event::Apply(pod("a", 5)));
        assumed.deleted(&pod("a", 5), &cache);
        let seen = assumed.view(&cache, |_| true);
        assert!(seen.iter().all(|pod| meta::is_deleting(&pod.metadata)));
        deliver(&assumed, &mut writer, &Event::Delete(pod("a", 6)));
        assert!(assumed.view(&cache, |_| true).is_empty());
    }

    #[test]
    fn a_list_begun_after_the_write_ends_the_assumption() {
        let (cache, mut writer) = store();
        let assumed = Assumed::default();
        assumed.created(pod("gone-meanwhile", 5));
        for event in [Event::Init, Event::InitDone] {
            deliver(&assumed, &mut writer, &event);
        }
        assert!(assumed.view(&cache, |_| true).is_empty());
    }
}
