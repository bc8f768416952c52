//! The zone, shared between who answers from it and who keeps it up to date.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use tokio::sync::Notify;

use crate::zone::{Contents, Zone};

/// The zone and whether it can be answered from.
#[derive(Debug)]
pub(crate) struct Names {
    zone: RwLock<Zone>,
    ready: AtomicBool,
    became_ready: Notify,
    changed: Notify,
}

impl Names {
    pub(crate) fn new(zone: Zone) -> Self {
        Self {
            zone: RwLock::new(zone),
            ready: AtomicBool::new(false),
            became_ready: Notify::new(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Zone) -> T) -> T {
        look(&self.zone.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.zone.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// Takes in what an earlier run of the agent kept.
    pub(crate) fn load(&self, contents: Contents) {
        self.change(|zone| zone.load(contents));
        self.set_ready();
    }

    /// Whether a name that is not in the zone is known not to exist.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
        self.became_ready.notify_waiters();
    }

    /// Waits until the zone can be answered from. Cancel-safe.
    pub(crate) async fn known(&self) {
        let mut notice = std::pin::pin!(self.became_ready.notified());
        // Asked for before the look, so that what happens between the two is not missed.
        notice.as_mut().enable();
        if !self.is_ready() {
            notice.await;
        }
    }

    /// Waits for a change. Cancel-safe: one that nobody waited for is remembered.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
