//! The thread that brings what changed to the disk.

use std::sync::PoisonError;
use std::time::Duration;

use tracing::{info, warn};

use crate::Shared;
use crate::database::{Change, Database};

/// Pause before what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Writes until the cache is closed; what has changed more than once is written once.
pub(crate) fn run(shared: &Shared, database: &mut Database) {
    loop {
        let (changes, closed) = wait(shared);
        let applied = database.apply(&changes);
        let mut mirror = shared.lock();
        let refused = std::mem::replace(&mut mirror.refused, applied.is_err());
        match applied {
            Ok(()) if refused => info!("pods are kept for a reboot again"),
            Ok(()) => {}
            Err(error) => {
                mirror.dirty.extend(changes.into_iter().map(|(key, _)| key));
                drop(mirror);
                if !refused {
                    warn!(error = %error, "pods not kept for a reboot; free space for the node's state");
                }
            }
        }
        if closed {
            return;
        }
    }
}

/// What is to be written next, and whether it is the last of it.
fn wait(shared: &Shared) -> (Vec<Change>, bool) {
    let mut mirror = shared.lock();
    if mirror.refused && !mirror.closed {
        let paused = shared
            .changed
            .wait_timeout_while(mirror, AGAIN, |mirror| !mirror.closed);
        mirror = paused.unwrap_or_else(PoisonError::into_inner).0;
    }
    while mirror.dirty.is_empty() && !mirror.closed {
        mirror = shared
            .changed
            .wait(mirror)
            .unwrap_or_else(PoisonError::into_inner);
    }
    let dirty = std::mem::take(&mut mirror.dirty);
    let changes = dirty.into_iter().map(|key| {
        let value = mirror.rows.get(&key).cloned();
        (key, value)
    });
    (changes.collect(), mirror.closed)
}
