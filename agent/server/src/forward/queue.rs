//! What a client sends into a connection, until the pod has taken it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes that the reader of a connection in the pod may be behind; SPDY's own first window (§2.6.8). Clients know no
/// windows, so they are held back by not reading them: all connections of a tunnel, by the slowest.
const WINDOW: u32 = 64 * 1024;

/// Pieces that it may be behind.
const PIECES: usize = 64;

/// Bytes, and the room that they take until they are dropped.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Where the client's bytes go.
#[derive(Debug, Clone)]
pub(crate) struct Inlet {
    queue: mpsc::Sender<Piece>,
    room: Arc<Semaphore>,
}

/// A queue for one connection.
pub(crate) fn queue() -> (Inlet, mpsc::Receiver<Piece>) {
    let (queue, pieces) = mpsc::channel(PIECES);
    let room = Arc::new(Semaphore::new(usize::try_from(WINDOW).unwrap_or(usize::MAX)));
    (Inlet { queue, room }, pieces)
}

impl Inlet {
    /// Queues `bytes`; waits while there is no room. What nobody wants any more is dropped.
    pub(crate) async fn put(&self, bytes: Bytes) {
        // One piece larger than the window takes all of it.
        let size = u32::try_from(bytes.len()).unwrap_or(WINDOW).min(WINDOW);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(size).await else {
            return;
        };
        let piece = Piece { bytes, _room: room };
        if self.queue.send(piece).await.is_err() {
            tracing::trace!("bytes for a connection that has ended are dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_reader_is_never_further_behind_than_the_window() {
        let (inlet, mut pieces) = queue();
        let piece = Bytes::from(vec![0; 40_000]);
        assert!(inlet.put(piece.clone()).now_or_never().is_some());
        assert!(inlet.put(piece.clone()).now_or_never().is_none());
        drop(pieces.recv().await.unwrap());
        assert!(inlet.put(piece).now_or_never().is_some());
    }

    #[tokio::test]
    async fn one_piece_larger_than_the_window_passes_alone() {
        let (inlet, mut pieces) = queue();
        let huge = Bytes::from(vec![0; 1_000_000]);
        assert!(inlet.put(huge).now_or_never().is_some());
        assert!(inlet.put(Bytes::from_static(b"x")).now_or_never().is_none());
        assert_eq!(pieces.recv().await.unwrap().bytes.len(), 1_000_000);
    }

    #[tokio::test]
    async fn what_is_for_a_connection_that_has_ended_holds_nobody_up() {
        let (inlet, pieces) = queue();
        inlet.put(Bytes::from(vec![0; 65_536])).await;
        drop(pieces);
        inlet.put(Bytes::from(vec![0; 65_536])).await;
    }
}
