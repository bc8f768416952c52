//! What the store keeps on disk and not in memory: older states, history for people, backups.

pub(crate) mod backup;
pub(crate) mod past;
pub(crate) mod query;

use std::time::Duration;

use controlplane_api::ApiError;
use controlplane_store::Store;
use controlplane_store_sqlite::Archive;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::reply::bug;

/// Readings at once; each has a thread and a connection of its own.
const READERS: usize = 4;
/// How long a further one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Seconds after which a caller who had no turn may come again.
const AGAIN: u32 = 5;

/// Waits until this server has what any had acknowledged; where no server leads, what it has must do, and that is said.
async fn up_to_date(store: &Store) -> Option<String> {
    let barrier = store.read_barrier().await.err()?;
    tracing::warn!(
        error = &barrier as &dyn std::error::Error,
        "the archive is read without knowing what is newest"
    );
    Some(format!("this server may not have the newest writes: {barrier}"))
}

/// The archive, used by few at a time.
#[derive(Debug)]
pub(crate) struct SharedArchive {
    archive: Archive,
    readers: Semaphore,
    /// One at a time: each needs the space of the whole store.
    backups: Semaphore,
}

impl SharedArchive {
    pub(crate) fn new(archive: Archive) -> Self {
        Self {
            archive,
            readers: Semaphore::new(READERS),
            backups: Semaphore::new(1),
        }
    }

    /// Reads on a thread of its own.
    ///
    /// # Errors
    ///
    /// 429 where too many do.
    async fn read<T: Send + 'static>(
        &self,
        what: &str,
        read: impl FnOnce(&Archive) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = tokio::time::timeout(PATIENCE, self.readers.acquire()).await;
        let _turn: SemaphorePermit<'_> = turn.ok().and_then(Result::ok).ok_or_else(|| {
            ApiError::too_many_requests(format!("too many others {what}, try again"), AGAIN)
        })?;
        let archive = self.archive.clone();
        tokio::task::spawn_blocking(move || read(&archive))
            .await
            .map_err(|error| bug(what, &error))
    }
}
