//! What wakes a pod's worker.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Wakes one worker, and remembers whether an object that its pod refers to has changed.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    notify: Notify,
    objects_changed: AtomicBool,
}

impl Wake {
    /// Something about the pod may have changed.
    pub(crate) fn stir(&self) {
        self.notify.notify_one();
    }

    /// An object that the pod refers to has changed.
    pub(crate) fn object_changed(&self) {
        self.objects_changed.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Whether an object has changed since this was last asked.
    pub(crate) fn take_object_change(&self) -> bool {
        self.objects_changed.swap(false, Ordering::AcqRel)
    }

    /// Waits to be woken. Cancel-safe: a wake that nobody waited for stays.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}
