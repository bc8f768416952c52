//! The pods of this node as its endpoint shows them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;

/// What is known of one pod.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The pod with the status last computed.
    pub(crate) pod: Pod,
    /// Its network namespace; none on the node's network.
    pub(crate) netns: Option<PathBuf>,
}

/// The pods by UID. Workers write, the endpoint reads.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pods: Mutex<BTreeMap<String, View>>,
}

impl Registry {
    /// Shows `view`.
    pub(crate) fn put(&self, uid: &str, view: View) {
        self.lock().insert(uid.to_owned(), view);
    }

    /// Shows the pod no longer.
    pub(crate) fn remove(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Every pod.
    pub(crate) fn all(&self) -> Vec<View> {
        self.lock().values().cloned().collect()
    }

    /// The pod of that name; the living one where a deleted one bears it too.
    pub(crate) fn find(&self, namespace: &str, name: &str, uid: Option<&str>) -> Option<View> {
        let pods = self.lock();
        let matching = pods.values().filter(|view| {
            let meta = &view.pod.metadata;
            meta.namespace.as_deref() == Some(namespace)
                && meta.name.as_deref() == Some(name)
                && uid.is_none_or(|uid| meta.uid.as_deref() == Some(uid))
        });
        matching
            .min_by_key(|view| view.pod.metadata.deletion_timestamp.is_some())
            .cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, View>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
