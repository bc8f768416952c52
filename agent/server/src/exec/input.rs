//! From the client to the process: standard input, sizes, and the news that the client is gone.

use std::io;

use agent_streams::remote_command::Input;
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tracing::debug;

use crate::access::{BoxWrite, TerminalSize};
use crate::exec::ear::Ear;

/// Messages that wait for the process to read; when it is full the client is not read any further. Messages may
/// be large, so this is small.
const QUEUE: usize = 1;

/// Where the client's input goes.
#[derive(Debug)]
pub(crate) struct Inlet {
    stdin: Option<mpsc::Sender<Bytes>>,
    size: watch::Sender<Option<TerminalSize>>,
}

/// The other end of an [`Inlet`].
#[derive(Debug)]
pub(crate) struct Outlet {
    /// Ends with the client's standard input.
    pub(crate) stdin: mpsc::Receiver<Bytes>,
    /// The latest size of the terminal.
    pub(crate) size: watch::Receiver<Option<TerminalSize>>,
}

/// A pair of ends.
pub(crate) fn inlet() -> (Inlet, Outlet) {
    let (stdin, stdin_end) = mpsc::channel(QUEUE);
    let (size, size_end) = watch::channel(None);
    let inlet = Inlet {
        stdin: Some(stdin),
        size,
    };
    let outlet = Outlet {
        stdin: stdin_end,
        size: size_end,
    };
    (inlet, outlet)
}

/// Reads the client until it is gone: a Close, the end of the connection, or an error.
pub(crate) async fn read(ear: &mut Ear, mut inlet: Inlet) {
    while let Some(input) = ear.next().await {
        inlet.take(input).await;
    }
}

impl Inlet {
    async fn take(&mut self, input: Input) {
        match input {
            Input::Resize(size) => drop(self.size.send_replace(Some(size))),
            Input::StdinEnd => self.stdin = None,
            Input::Stdin(bytes) => {
                if let Some(stdin) = &self.stdin
                    && stdin.send(bytes).await.is_err()
                {
                    // The process has closed its standard input, or never had one: what follows is dropped.
                    self.stdin = None;
                }
            }
        }
    }
}

/// Feeds the process, and shuts its standard input when the client's has ended.
pub(crate) async fn feed(stdin: Option<BoxWrite>, mut from: mpsc::Receiver<Bytes>) {
    let Some(mut stdin) = stdin else { return };
    let fed: io::Result<()> = async {
        while let Some(bytes) = from.recv().await {
            stdin.write_all(&bytes).await?;
            stdin.flush().await?;
        }
        stdin.shutdown().await
    }
    .await;
    if let Err(error) = fed {
        debug!(
            error = &error as &dyn std::error::Error,
            "process does not take its standard input"
        );
    }
}
