//! From the process to the client.

use std::time::Duration;

use agent_streams::remote_command::Channel;
use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::access::BoxRead;
use crate::exec::voice::Speaker;

/// Largest piece of output in one message, in bytes.
const PIECE: usize = 32 * 1024;

/// How long output may stay silent after the process ended. A child it left behind can hold the stream open
/// for ever; what was written before the end is at hand at once.
const LINGER: Duration = Duration::from_secs(1);

/// Whether the client asked for an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It is sent.
    Yes,
    /// It is read and dropped: a process whose output nobody reads would stand still, or die of it.
    No,
}

impl Wanted {
    /// By an option of the request.
    pub(crate) fn of(asked: bool) -> Self {
        if asked { Self::Yes } else { Self::No }
    }
}

/// Where outputs go, and until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sink<'a> {
    /// To the client.
    pub(crate) speaker: &'a Speaker,
    /// Cancelled when the process has ended.
    pub(crate) exited: &'a CancellationToken,
}

/// Sends what comes out of `from` on `channel`, until its end, the client's, or silence after the end of the
/// process; then that nothing more comes.
pub(crate) async fn pump(channel: Channel, wanted: Wanted, from: Option<BoxRead>, to: Sink<'_>) {
    if let Some(from) = from {
        copy(channel, wanted, from, to).await;
    }
    if to.speaker.end(channel).await.is_err() {
        debug!(?channel, "client left before the end of an output");
    }
}

async fn copy(channel: Channel, wanted: Wanted, mut from: BoxRead, to: Sink<'_>) {
    let mut piece = BytesMut::with_capacity(PIECE);
    loop {
        piece.clear();
        let read = tokio::select! {
            biased;
            // Cancel-safe: where the other arm wins, nothing was read.
            read = from.read_buf(&mut piece) => read,
            // Cancel-safe: waiting holds nothing.
            () = silence(to.exited) => return debug!(?channel, "output stays open after the end of its process"),
        };
        match read {
            Ok(0) => return,
            Ok(_) if wanted == Wanted::No => {}
            Ok(_) if to.speaker.say(channel, &piece).await.is_err() => return,
            Ok(_) => {}
            // A terminal whose last process is gone reads EIO (pty(7)).
            Err(error) => return debug!(error = &error as &dyn std::error::Error, ?channel, "output ended"),
        }
    }
}

async fn silence(exited: &CancellationToken) {
    exited.cancelled().await;
    sleep(LINGER).await;
}
