//! The slices of one controller, by Service: what the watch shows, and what was written since.
//!
//! A slice just made is missing from a plain cache for a moment, and would be made twice. Here the
//! answer to each write counts until the watch has caught up with it, told by resource version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use super::desired::SERVICE_NAME;
use crate::backends::Key;
use crate::meta;

/// Slices by Service.
#[derive(Debug)]
pub(crate) struct Slices {
    state: Mutex<State>,
    known: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// By namespace and name.
    slices: BTreeMap<Key, Entry>,
    by_service: BTreeMap<Key, BTreeSet<String>>,
    /// UIDs of slices that were removed, and when.
    removed: BTreeMap<String, u64>,
    /// Delivered by a list under way.
    listed: BTreeSet<Key>,
    /// The highest resource version the watch has delivered.
    seen: u64,
    /// Raised when a new list begins: it includes the effect of every earlier write.
    epoch: u64,
}

#[derive(Debug)]
struct Entry {
    slice: Arc<EndpointSlice>,
    epoch: u64,
}

impl Default for Slices {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            known: watch::Sender::new(false),
        }
    }
}

impl Slices {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the slices have been listed.
    pub(crate) async fn wait_until_known(&self) {
        // The sender is `self`, so the channel cannot close under a waiter.
        let mut known = self.known.subscribe();
        let _known = known.wait_for(|known| *known).await;
    }

    /// The slices of a Service, in order of name.
    pub(crate) fn of(&self, service: &Key) -> Vec<Arc<EndpointSlice>> {
        let state = self.lock();
        let names = state.by_service.get(service).into_iter().flatten();
        names
            .filter_map(|name| state.slices.get(&(service.0.clone(), name.clone())))
            .map(|entry| entry.slice.clone())
            .collect()
    }

    /// Takes note of what the watch delivered; returns the Services that see news in it.
    pub(crate) fn observe(&self, event: &Event<EndpointSlice>) -> BTreeSet<Key> {
        let mut state = self.lock();
        match event {
            Event::Init => {
                state.epoch += 1;
                state.listed.clear();
                BTreeSet::new()
            }
            Event::InitApply(slice) => {
                state.listed.insert(key(slice));
                state.see(slice)
            }
            Event::InitDone => {
                self.known.send_replace(true);
                state.end_list()
            }
            Event::Apply(slice) => state.see(slice),
            Event::Delete(slice) => {
                state.seen = state.seen.max(meta::resource_version(&slice.metadata));
                state.removed.remove(meta::uid(&slice.metadata));
                let same = |entry: &Entry| entry.slice.metadata.uid == slice.metadata.uid;
                if state.slices.get(&key(slice)).is_some_and(same) {
                    state.take(&key(slice))
                } else {
                    BTreeSet::new()
                }
            }
        }
    }

    /// Counts on a slice as the server answered, unless the watch was faster.
    pub(crate) fn wrote(&self, slice: EndpointSlice) {
        let mut state = self.lock();
        if meta::resource_version(&slice.metadata) > state.seen {
            state.put(&slice);
        }
    }

    /// Counts on a slice to be gone.
    pub(crate) fn removed(&self, slice: &EndpointSlice) {
        let mut state = self.lock();
        let same = |entry: &Entry| entry.slice.metadata.uid == slice.metadata.uid;
        if state.slices.get(&key(slice)).is_some_and(same) {
            state.take(&key(slice));
            let epoch = state.epoch;
            state.removed.insert(meta::uid(&slice.metadata).to_owned(), epoch);
        }
    }
}

impl State {
    fn see(&mut self, slice: &EndpointSlice) -> BTreeSet<Key> {
        let version = meta::resource_version(&slice.metadata);
        self.seen = self.seen.max(version);
        let known = self.slices.get(&key(slice));
        let old_news = known.is_some_and(|entry| meta::resource_version(&entry.slice.metadata) >= version);
        if old_news || self.removed.contains_key(meta::uid(&slice.metadata)) {
            return BTreeSet::new();
        }
        self.put(slice)
    }

    fn put(&mut self, slice: &EndpointSlice) -> BTreeSet<Key> {
        let mut concerned = self.take(&key(slice));
        if let Some(service) = service(slice) {
            let name = meta::name(&slice.metadata).to_owned();
            self.by_service.entry(service.clone()).or_default().insert(name);
            concerned.insert(service);
        }
        let entry = Entry {
            slice: Arc::new(slice.clone()),
            epoch: self.epoch,
        };
        self.slices.insert(key(slice), entry);
        concerned
    }

    fn take(&mut self, key: &Key) -> BTreeSet<Key> {
        let Some(entry) = self.slices.remove(key) else {
            return BTreeSet::new();
        };
        let Some(service) = service(&entry.slice) else {
            return BTreeSet::new();
        };
        if let Some(names) = self.by_service.get_mut(&service) {
            names.remove(&key.1);
            if names.is_empty() {
                self.by_service.remove(&service);
            }
        }
        [service].into()
    }

    /// What neither the list nor a write since it began has, is gone.
    fn end_list(&mut self) -> BTreeSet<Key> {
        let (listed, epoch) = (std::mem::take(&mut self.listed), self.epoch);
        self.removed.retain(|_, made| *made >= epoch);
        let gone: Vec<Key> = self
            .slices
            .iter()
            .filter(|(key, entry)| entry.epoch < epoch && !listed.contains(*key))
            .map(|(key, _)| key.clone())
            .collect();
        gone.iter().flat_map(|key| self.take(key)).collect()
    }
}

fn key(slice: &EndpointSlice) -> Key {
    (
        meta::namespace(&slice.metadata).to_owned(),
        meta::name(&slice.metadata).to_owned(),
    )
}

fn service(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some((meta::namespace(&slice.metadata).to_owned(), name.clone()))
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;

    use super::*;

    fn slice(name: &str, version: u64) -> EndpointSlice {
        EndpointSlice {
            metadata: ObjectMeta {
                namespace: Some("n".to_owned()),
                name: Some(name.to_owned()),
                uid: Some(name.to_owned()),
                resource_version: Some(version.to_string()),
                labels: Some([(SERVICE_NAME.to_owned(), "web".to_owned())].into()),
                ..ObjectMeta::default()
            },
            ..EndpointSlice::default()
        }
    }

    fn web() -> Key {
        ("n".to_owned(), "web".to_owned())
    }

    fn versions(slices: &Slices) -> Vec<u64> {
        let all = slices.of(&web());
        all.iter()
            .map(|slice| meta::resource_version(&slice.metadata))
            .collect()
    }

    #[test]
    fn a_write_counts_at_once_and_its_own_echo_is_no_news() {
        let slices = Slices::default();
        slices.wrote(slice("a", 5));
        assert_eq!(versions(&slices), [5]);
        assert!(slices.observe(&Event::Apply(slice("a", 5))).is_empty());
        assert_eq!(slices.observe(&Event::Apply(slice("a", 6))), [web()].into());
        assert_eq!(versions(&slices), [6]);
    }

    #[test]
    fn an_answer_slower_than_the_watch_leaves_no_ghost() {
        let slices = Slices::default();
        slices.observe(&Event::Apply(slice("a", 5)));
        slices.observe(&Event::Delete(slice("a", 6)));
        slices.wrote(slice("a", 5));
        assert!(versions(&slices).is_empty());
    }

    #[test]
    fn an_older_state_does_not_bring_a_removed_slice_back() {
        let slices = Slices::default();
        slices.observe(&Event::Apply(slice("a", 5)));
        slices.removed(&slice("a", 5));
        assert!(slices.observe(&Event::Apply(slice("a", 6))).is_empty());
        assert!(versions(&slices).is_empty());
        slices.observe(&Event::Delete(slice("a", 7)));
        assert!(slices.lock().removed.is_empty());
    }

    #[test]
    fn a_list_keeps_what_was_written_while_it_was_under_way() {
        let slices = Slices::default();
        slices.wrote(slice("old", 5));
        slices.observe(&Event::Init);
        slices.wrote(slice("new", 6));
        assert_eq!(slices.observe(&Event::InitDone), [web()].into());
        assert_eq!(versions(&slices), [6]);
    }
}
