//! One exec or attach from its start to its Status.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures::future::join3;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::access::{AccessError, ExecOptions, Exit, ProcessControl, Session, TerminalSize};
use crate::exec::channel::{Channel, Protocol};
use crate::exec::input::{Outlet, feed, inlet, read};
use crate::exec::output::{Sink, Wanted, pump};
use crate::exec::status;
use crate::wire::{self, Gone, Incoming, Outbox, Socket};

/// How long a client that reads nothing may keep a stopping server from telling it so.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Whose streams they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A new process's; its exit code is reported.
    Exec,
    /// The container's own; the end of the container is success, whatever its exit code (kubelet, `ServeAttach`).
    Attach,
}

/// What was agreed on before the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    kind: Kind,
    protocol: Protocol,
    stdout: Wanted,
    stderr: Wanted,
}

impl Terms {
    /// `protocol` is one of [`PROTOCOLS`](crate::exec::PROTOCOLS).
    pub(crate) fn new(kind: Kind, protocol: &str, options: &ExecOptions) -> Self {
        Self {
            kind,
            protocol: Protocol::of(protocol),
            stdout: Wanted::of(options.stdout),
            stderr: Wanted::of(options.stderr),
        }
    }

    /// Where the client gets an empty message that tells it that the session stands: the first channel it can
    /// read (apiserver, `wsstream`; older clients wait for it).
    fn greeting(&self) -> Channel {
        match (self.stdout, self.stderr) {
            (Wanted::Yes, _) => Channel::Stdout,
            (Wanted::No, Wanted::Yes) => Channel::Stderr,
            (Wanted::No, Wanted::No) => Channel::Error,
        }
    }
}

/// Serves the session that `start` yields, until its process ends, the client leaves, or `stop`. In the last
/// two cases the session is dropped, which ends an exec's process.
pub(crate) async fn serve<F>(socket: Socket, terms: Terms, start: F, stop: CancellationToken)
where
    F: Future<Output = Result<Session, AccessError>>,
{
    let talk = |incoming, outbox| converse(incoming, outbox, terms, start, stop);
    wire::drive(socket, talk).await;
}

async fn converse<F>(
    mut incoming: Incoming,
    outbox: Outbox,
    terms: Terms,
    start: F,
    stop: CancellationToken,
) -> Incoming
where
    F: Future<Output = Result<Session, AccessError>>,
{
    let (inlet, outlet) = inlet();
    let process = async {
        let last = match start.await {
            Ok(session) => run(session, outlet, &outbox, &terms).await,
            Err(refusal) => Ok(refused(&refusal)),
        };
        match last {
            Ok(last) => tell(&outbox, &last).await,
            Err(Gone) => Err(Gone),
        }
    };
    tokio::select! {
        told = process => if told.is_err() { debug!("client left before it was told how the process ended") },
        // Dropping the session ends its process: nobody is there to use it.
        () = read(&mut incoming, terms.protocol, inlet) => debug!("client left a session"),
        // As above.
        () = stop.cancelled() => {
            let told = timeout(LAST_WORD, tell(&outbox, &status::stopped())).await;
            debug!(told = matches!(told, Ok(Ok(()))), "session ended because the server stops");
        }
    }
    incoming
}

fn refused(refusal: &AccessError) -> Status {
    if matches!(refusal, AccessError::Failed { .. }) {
        error!(
            error = refusal as &dyn std::error::Error,
            "session in a container did not start"
        );
    }
    status::refused(refusal)
}

async fn run(session: Session, outlet: Outlet, outbox: &Outbox, terms: &Terms) -> Result<Status, Gone> {
    outbox.send(terms.greeting().message(b"")).await?;
    let Session {
        stdin,
        stdout,
        stderr,
        mut process,
    } = session;
    let exited = CancellationToken::new();
    let sink = Sink {
        outbox,
        exited: &exited,
    };
    let outputs = async {
        futures::join!(
            pump(Channel::Stdout, terms.stdout, stdout, sink),
            pump(Channel::Stderr, terms.stderr, stderr, sink)
        )
    };
    let end = async {
        let end = wait(process.as_mut(), outlet.size).await;
        exited.cancel();
        end
    };
    let fed = exited.run_until_cancelled(feed(stdin, outlet.stdin));
    let (end, _, _) = join3(end, outputs, fed).await;
    Ok(match end {
        Ok(_) if terms.kind == Kind::Attach => status::success(),
        Ok(exit) => status::exited(exit),
        Err(error) => status::lost(&error),
    })
}

async fn wait(
    process: &mut dyn ProcessControl,
    mut size: watch::Receiver<Option<TerminalSize>>,
) -> io::Result<Exit> {
    loop {
        tokio::select! {
            // Cancel-safe by its contract.
            exit = process.wait() => return exit,
            // Cancel-safe: a size counts as seen only once `changed` returns.
            changed = size.changed() => if changed.is_err() { return process.wait().await },
        }
        let latest = *size.borrow_and_update();
        if let Some(Err(error)) = latest.map(|size| process.resize(size)) {
            debug!(
                error = &error as &dyn std::error::Error,
                "terminal does not take its size"
            );
        }
    }
}

async fn tell(outbox: &Outbox, last: &Status) -> Result<(), Gone> {
    let json = serde_json::to_vec(last).unwrap_or_else(|_| br#"{"status":"Failure"}"#.to_vec());
    outbox.send(Channel::Error.message(&json)).await
}
