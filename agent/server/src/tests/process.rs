//! Commands of the twin's containers, run as tasks on pipes in memory.

use std::io;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::twin::Alive;
use crate::access::{AccessError, ExecOptions, Exit, ProcessControl, Session, TerminalSize};

/// A pipe's capacity, as Linux has it.
const PIPE: usize = 64 * 1024;

struct Pipes {
    stdin: DuplexStream,
    stdout: DuplexStream,
    stderr: DuplexStream,
    size: watch::Receiver<Option<TerminalSize>>,
}

struct Control {
    exit: watch::Receiver<Option<Exit>>,
    size: watch::Sender<Option<TerminalSize>>,
    /// Aborted when dropped: the process is killed.
    _process: JoinSet<()>,
}

impl ProcessControl for Control {
    fn resize(&mut self, size: TerminalSize) -> io::Result<()> {
        self.size.send_replace(Some(size));
        Ok(())
    }

    fn wait(&mut self) -> BoxFuture<'_, io::Result<Exit>> {
        async {
            let exit = self.exit.wait_for(Option::is_some).await;
            exit.map(|exit| exit.unwrap()).map_err(io::Error::other)
        }
        .boxed()
    }
}

/// Starts `cat`, `exit CODE`, `sleep`, `size` or `spill BYTES`.
pub(super) fn start(options: &ExecOptions, alive: Alive) -> Result<Session, AccessError> {
    let words: Vec<String> = options.command.clone();
    if words.first().is_some_and(|word| word == "broken") {
        return Err(AccessError::Failed {
            attempted: "enter container \"app\"".to_owned(),
            source: io::Error::other("no such process").into(),
        });
    }
    let (stdin, stdin_end) = duplex(PIPE);
    let (stdout, stdout_end) = duplex(PIPE);
    let (stderr, stderr_end) = duplex(PIPE);
    let (size, size_end) = watch::channel(None);
    let (done, exit) = watch::channel(None);
    let pipes = Pipes {
        stdin: stdin_end,
        stdout: stdout_end,
        stderr: stderr_end,
        size: size_end,
    };
    let mut process = JoinSet::new();
    process.spawn(async move {
        let _alive = alive;
        let exit = run(&words, pipes).await;
        done.send_replace(Some(exit));
    });
    Ok(Session {
        stdin: options.stdin.then(|| Box::pin(stdin) as _),
        // Both whether asked for or not, as a runtime would that always makes pipes.
        stdout: Some(Box::pin(stdout)),
        stderr: (!options.tty).then(|| Box::pin(stderr) as _),
        process: Box::new(Control {
            exit,
            size,
            _process: process,
        }),
    })
}

async fn run(words: &[String], mut pipes: Pipes) -> Exit {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["cat"] => drop(
            tokio::io::copy(&mut pipes.stdin, &mut pipes.stdout)
                .await
                .unwrap(),
        ),
        ["exit", code] => {
            pipes.stdout.write_all(b"out").await.unwrap();
            drop(pipes.stderr.write_all(b"err").await);
            return Exit::Code(code.parse().unwrap());
        }
        ["size"] => {
            let size = pipes.size.wait_for(Option::is_some).await.unwrap().unwrap();
            let line = format!("{}x{}", size.width, size.height);
            pipes.stdout.write_all(line.as_bytes()).await.unwrap();
        }
        ["spill", bytes] => {
            let mut rest: usize = bytes.parse().unwrap();
            while rest > 0 {
                let now = rest.min(4096);
                pipes.stdout.write_all(&vec![b'x'; now]).await.unwrap();
                rest -= now;
            }
        }
        // Reads nothing, so that its standard input fills up.
        _ => std::future::pending().await,
    }
    drop(pipes.stdin.read(&mut [0; 1]).now_or_never());
    Exit::Code(0)
}
