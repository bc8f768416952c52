//! Attaching to a container: to its holder where it has stdin or a terminal, else its output from now
//! on, as the journal gets it, until the run ends.

use std::io;
use std::time::Duration;

use agent_run::attach::Wanted;
use agent_runtime::attach::{AttachError, Attached, Detached, attach};
use agent_runtime::exec::ContainerRef;
use agent_runtime::logs::{self, LogFormat, LogLines, LogQuery, Stream};
use agent_runtime::{Ended, NodePaths, Record, read_records};
use agent_server::{ExecOptions, Exit, ProcessControl, Session, TerminalSize};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinSet;

/// Bytes that wait for a slow reader; then the journal is read no further.
const WAITING: usize = 64 << 10;

/// How long the record of a killed container may take after its holder was killed with it.
const RECORDED: Duration = Duration::from_secs(3);

/// Pause between looks for a record.
const LOOK: Duration = Duration::from_millis(50);

/// One run of a container.
pub(crate) struct Run {
    pub(crate) paths: NodePaths,
    pub(crate) target: ContainerRef,
    /// systemd's id of it.
    pub(crate) invocation: String,
}

impl Run {
    /// A session with it.
    ///
    /// # Errors
    ///
    /// Says why its holder does not take one more.
    pub(crate) async fn attach(self, options: &ExecOptions) -> Result<Session, AttachError> {
        let wanted = Wanted {
            stdin: options.stdin,
            stdout: options.stdout,
            stderr: options.stderr && !options.tty,
        };
        match attach(&self.paths, &self.target, wanted).await? {
            Some(attached) => Ok(held(attached, self)),
            None => Ok(from_journal(self, options)),
        }
    }

    fn record(&self) -> Option<Record> {
        let records = read_records(&self.paths, &self.target.uid, &self.target.container).unwrap_or_default();
        let mut all = records.recent.into_iter();
        all.find(|record| record.invocation_id == self.invocation)
    }
}

fn held(mut attached: Attached, run: Run) -> Session {
    Session {
        stdin: attached.stdin.take().map(|stream| Box::pin(stream) as _),
        stdout: attached.stdout.take().map(|stream| Box::pin(stream) as _),
        stderr: attached.stderr.take().map(|stream| Box::pin(stream) as _),
        process: Box::new(Held { attached, run }),
    }
}

/// A container with a holder.
struct Held {
    attached: Attached,
    run: Run,
}

impl ProcessControl for Held {
    fn resize(&mut self, size: TerminalSize) -> io::Result<()> {
        self.attached.resize(size.width, size.height);
        Ok(())
    }

    fn wait(&mut self) -> BoxFuture<'_, io::Result<Exit>> {
        async move {
            if self.attached.wait().await == Detached::Done {
                return Ok(Exit::Code(0));
            }
            // A unit that is killed as a whole takes its holder along: the record tells.
            let recorded = async {
                while self.run.record().is_none() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            match tokio::time::timeout(RECORDED, recorded).await {
                Ok(()) => Ok(Exit::Code(0)),
                Err(_) => Err(io::Error::other(
                    "attachment cut off: its client read nothing for too long; attach again",
                )),
            }
        }
        .boxed()
    }
}

/// A container whose stdin is closed from its start, so that what is sent to it goes nowhere.
fn from_journal(run: Run, options: &ExecOptions) -> Session {
    let query = LogQuery {
        uid: run.target.uid.clone(),
        container: run.target.container.clone(),
        invocation_id: Some(run.invocation.clone()),
        follow: true,
        tail: Some(0),
        stream: None,
        since: None,
    };
    let (out, stdout) = tokio::io::duplex(WAITING);
    let (err, stderr) = tokio::io::duplex(WAITING);
    let mut pump = JoinSet::new();
    pump.spawn(copy(logs::read(&run.paths, query), out, err));
    Session {
        stdin: options.stdin.then(|| Box::pin(tokio::io::sink()) as _),
        stdout: options.stdout.then(|| Box::pin(stdout) as _),
        stderr: (options.stderr && !options.tty).then(|| Box::pin(stderr) as _),
        process: Box::new(Journal { run, pump }),
    }
}

/// Sorts lines by stream until they end; a stream that nobody reads is passed over.
async fn copy(mut lines: LogLines, mut out: DuplexStream, mut err: DuplexStream) {
    let mut format = LogFormat::new(false, None);
    while let Some(Ok(line)) = lines.recv().await {
        let Some(bytes) = format.render(&line) else {
            return;
        };
        let to = match line.stream {
            Stream::Stdout => &mut out,
            Stream::Stderr => &mut err,
        };
        drop(to.write_all(&bytes).await);
    }
}

/// A container whose output is read from the journal.
struct Journal {
    run: Run,
    pump: JoinSet<()>,
}

impl ProcessControl for Journal {
    fn resize(&mut self, _: TerminalSize) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self) -> BoxFuture<'_, io::Result<Exit>> {
        async move {
            while self.pump.join_next().await.is_some() {}
            Ok(self
                .run
                .record()
                .map_or(Exit::Code(0), |record| match record.ended {
                    Ended::Exited => Exit::Code(record.exit_code),
                    Ended::Killed | Ended::Dumped => Exit::Signal(record.signal),
                }))
        }
        .boxed()
    }
}
