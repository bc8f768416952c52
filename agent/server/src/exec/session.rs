//! One exec or attach from its start to its Status.

use std::future::Future;
use std::io;
use std::time::Duration;

use agent_streams::remote_command::{Channel, Dialect, Version};
use agent_streams::spdy::Encoder;
use futures::future::join3;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::access::{AccessError, ExecOptions, Exit, ProcessControl, Session, TerminalSize};
use crate::exec::ear::Ear;
use crate::exec::input::{Outlet, feed, inlet, read};
use crate::exec::output::{Sink, Wanted, pump};
use crate::exec::status;
use crate::exec::streams::{Role, Streams};
use crate::exec::voice::{Speaker, Voice};
use crate::upgrade::Agreed;
use crate::wire::{self, Gone, Incoming, Link, Outbox};

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
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    kind: Kind,
    dialect: Dialect,
    stdout: Wanted,
    stderr: Wanted,
    /// What a SPDY client has to open.
    streams: Vec<Role>,
}

impl Terms {
    /// `agreed` names one of [`SPOKEN`](crate::exec::SPOKEN).
    pub(crate) fn new(kind: Kind, agreed: Agreed, options: &ExecOptions) -> Self {
        let (Agreed::WebSocket(protocol) | Agreed::Spdy(protocol)) = agreed;
        let dialect = Dialect::of(protocol);
        Self {
            kind,
            dialect,
            stdout: Wanted::of(options.stdout),
            stderr: Wanted::of(options.stderr),
            streams: Role::expected(options, dialect.version),
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
pub(crate) async fn serve<F>(link: Link, terms: Terms, start: F, stop: CancellationToken)
where
    F: Future<Output = Result<Session, AccessError>>,
{
    let spdy = matches!(link, Link::Spdy(_));
    wire::drive(link, async move |incoming, outbox| {
        let met = if spdy {
            stop.run_until_cancelled(meet(incoming, outbox, &terms)).await
        } else {
            let voice = Voice::Channels(terms.dialect.form);
            Some(Ok((
                Ear::Channels(incoming, terms.dialect),
                Speaker { voice, outbox },
            )))
        };
        match met {
            Some(Ok((ear, speaker))) => Some(converse(ear, speaker, terms, start, stop).await),
            Some(Err(incoming)) => Some(incoming),
            None => None,
        }
    })
    .await;
}

/// Waits for the streams of a SPDY client; where they do not come, it is told that this is the end.
async fn meet(incoming: Incoming, outbox: Outbox, terms: &Terms) -> Result<(Ear, Speaker), Incoming> {
    let encoder = match Encoder::new() {
        Ok(encoder) => encoder,
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "cannot speak SPDY");
            return Err(incoming);
        }
    };
    let mut streams = Streams::new(incoming, outbox.clone(), encoder, terms.streams.clone());
    match streams.opened().await {
        Ok(heard) => {
            let voice = Voice::Streams(heard);
            Ok((Ear::Streams(Box::new(streams)), Speaker { voice, outbox }))
        }
        Err(error) => {
            streams.send_away(&error).await;
            Err(streams.into_incoming())
        }
    }
}

async fn converse<F>(
    mut ear: Ear,
    speaker: Speaker,
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
            Ok(session) => run(session, outlet, &speaker, &terms).await?,
            Err(refusal) => {
                speaker.end(Channel::Stdout).await?;
                speaker.end(Channel::Stderr).await?;
                refused(&refusal)
            }
        };
        tell(&speaker, &terms, &last).await
    };
    tokio::select! {
        told = process => if told.is_err() { debug!("client left before it was told how the process ended") },
        // Dropping the session ends its process: nobody is there to use it.
        () = read(&mut ear, inlet) => debug!("client left a session"),
        // As above.
        () = stop.cancelled() => {
            let told = timeout(LAST_WORD, tell(&speaker, &terms, &status::stopped())).await;
            debug!(told = matches!(told, Ok(Ok(()))), "session ended because the server stops");
        }
    }
    ear.into_incoming()
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

async fn run(session: Session, outlet: Outlet, speaker: &Speaker, terms: &Terms) -> Result<Status, Gone> {
    speaker.greet(terms.greeting()).await?;
    let Session {
        stdin,
        stdout,
        stderr,
        mut process,
    } = session;
    let exited = CancellationToken::new();
    let sink = Sink {
        speaker,
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

/// The last word: a Status, or for clients older than that its message, where there is something to complain of.
async fn tell(speaker: &Speaker, terms: &Terms, last: &Status) -> Result<(), Gone> {
    if terms.dialect.version >= Version::V4 {
        let json = serde_json::to_vec(last).unwrap_or_else(|_| br#"{"status":"Failure"}"#.to_vec());
        speaker.say(Channel::Error, &json).await?;
    } else if let Some(message) = &last.message {
        speaker.say(Channel::Error, message.as_bytes()).await?;
    }
    speaker.end(Channel::Error).await
}
