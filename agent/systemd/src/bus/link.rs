//! The connection: calls with a bound and a deadline.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::Serialize;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::timeout;
use zbus::connection::Builder;

use zbus::{Connection, DynamicType, Message, OwnedObjectPath, OwnedVariant};

use super::jobs::{Ended, Jobs};
use super::private_socket::PrivateSocket;
use super::{Options, job_result, refusal};
use crate::{Change, Changes, UnitError, Verb};

/// Where root reaches PID 1 without the bus daemon.
const PRIVATE_SOCKET: &str = "/run/systemd/private";
pub(super) const SERVICE: &str = "org.freedesktop.systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const OBJECT: &str = "/org/freedesktop/systemd1";

/// Signals that may wait for the dispatcher; a burst of a few hundred units fits.
const QUEUED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What was asked, for errors.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    verb: Verb,
    unit: String,
}

impl Asked {
    pub(super) fn new(verb: Verb, unit: &str) -> Self {
        Self {
            verb,
            unit: unit.to_owned(),
        }
    }

    pub(super) fn unit(&self) -> &str {
        &self.unit
    }

    pub(super) fn unreachable(&self, source: zbus::Error) -> UnitError {
        UnitError::Unreachable {
            verb: self.verb,
            unit: self.unit.clone(),
            source: Box::new(source),
        }
    }

    fn failed(&self, error: zbus::Error) -> UnitError {
        let (verb, unit) = (self.verb, self.unit.clone());
        match refusal::name_and_text(&error) {
            None => self.unreachable(error),
            Some((name, detail)) => match refusal::known(&name) {
                Some(refusal::Known::Exists) => UnitError::Exists { verb, unit },
                Some(refusal::Known::NotFound) => UnitError::NotFound { verb, unit },
                None => UnitError::Refused {
                    verb,
                    unit,
                    name,
                    detail,
                },
            },
        }
    }
}

/// The connection in use, and what its signals feed.
#[derive(Debug)]
pub(super) struct Link {
    options: Options,
    connection: watch::Sender<Option<Connection>>,
    permits: Semaphore,
    pub(super) jobs: Jobs,
    pub(super) changes: broadcast::Sender<Change>,
}

impl Link {
    pub(super) fn new(
        options: Options,
        connection: Connection,
        jobs: Jobs,
        changes: broadcast::Sender<Change>,
    ) -> Self {
        let permits = Semaphore::new(options.concurrency.max(1));
        Self {
            options,
            connection: watch::Sender::new(Some(connection)),
            permits,
            jobs,
            changes,
        }
    }

    /// Takes a connection in place of a lost one, or notes the loss.
    pub(super) fn replace(&self, connection: Option<Connection>) {
        self.connection.send_replace(connection);
    }

    pub(super) fn changes(&self) -> Changes {
        Changes::new(self.changes.subscribe())
    }

    /// Calls a method of the manager.
    pub(super) async fn call<B>(&self, asked: &Asked, method: &str, body: &B) -> Result<Message, UnitError>
    where
        B: Serialize + DynamicType + Sync,
    {
        self.call_on(asked, (MANAGER, method), body).await
    }

    /// Calls `(interface, method)` on the manager's object.
    async fn call_on<B>(&self, asked: &Asked, target: (&str, &str), body: &B) -> Result<Message, UnitError>
    where
        B: Serialize + DynamicType + Sync,
    {
        let deadline = self.options.call_deadline;
        let work = async {
            // Never closed, so never an error; a permit that is not there is simply not held.
            let _permit = self.permits.acquire().await.ok();
            let connection = self.current().await?;
            connection
                .call_method(Some(SERVICE), OBJECT, Some(target.0), target.1, body)
                .await
        };
        match timeout(deadline, work).await {
            Ok(reply) => reply.map_err(|e| asked.failed(e)),
            Err(_) => Err(self.late(asked, deadline.as_secs())),
        }
    }

    /// Calls a method that answers with a job, and waits for the job.
    pub(super) async fn job<B>(&self, asked: &Asked, method: &str, body: &B) -> Result<(), UnitError>
    where
        B: Serialize + DynamicType + Sync,
    {
        let reply = self.call(asked, method, body).await?;
        let path: OwnedObjectPath = reply.body().deserialize().map_err(|e| asked.unreachable(e))?;
        let ended = self.jobs.wait(path.as_str());
        let deadline = self.options.job_deadline;
        match timeout(deadline, ended).await {
            Err(_) => {
                self.jobs.forget(path.as_str());
                Err(self.late(asked, deadline.as_secs()))
            }
            Ok(Ended::Lost) => Err(asked.unreachable(zbus::Error::InvalidReply)),
            Ok(Ended::Result(word)) => match job_result(&word) {
                None => Ok(()),
                Some(result) => Err(UnitError::Job {
                    verb: asked.verb,
                    unit: asked.unit.clone(),
                    result,
                }),
            },
        }
    }

    /// The manager's version number.
    pub(super) async fn version(&self, asked: &Asked) -> Result<u32, UnitError> {
        let target = ("org.freedesktop.DBus.Properties", "Get");
        let reply = self.call_on(asked, target, &(MANAGER, "Version")).await?;
        let value: OwnedVariant = reply.body().deserialize().map_err(|e| asked.unreachable(e))?;
        let text = String::try_from(value).map_err(|_| asked.unreachable(zbus::Error::InvalidReply))?;
        Ok(version_number(&text))
    }

    async fn current(&self) -> zbus::Result<Connection> {
        let mut connection = self.connection.subscribe();
        let ready = connection
            .wait_for(Option::is_some)
            .await
            .map_err(|_| zbus::Error::InvalidReply)?;
        ready.clone().ok_or(zbus::Error::InvalidReply)
    }

    fn late(&self, asked: &Asked, seconds: u64) -> UnitError {
        UnitError::Deadline {
            verb: asked.verb,
            unit: asked.unit.clone(),
            seconds,
        }
    }
}

/// `252` of `252.39-1~deb12u2`, `257` of `v257`; 0 where no number leads.
fn version_number(text: &str) -> u32 {
    let digits: String = text
        .trim_start_matches('v')
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(0)
}

/// Connects by the private socket, else by the system bus, and asks for signals.
pub(super) async fn connect() -> zbus::Result<Connection> {
    match private(Path::new(PRIVATE_SOCKET)).await {
        Ok(connection) => Ok(connection),
        Err(reason) => {
            tracing::info!(error = %reason, "no private socket of systemd; using the system bus");
            system().await
        }
    }
}

async fn private(socket: &Path) -> zbus::Result<Connection> {
    let socket = PrivateSocket::connect(socket).await?;
    subscribe(Builder::socket(socket).p2p().max_queued(QUEUED).build().await?).await
}

async fn subscribe(connection: Connection) -> zbus::Result<Connection> {
    connection
        .call_method(Some(SERVICE), OBJECT, Some(MANAGER), "Subscribe", &())
        .await?;
    Ok(connection)
}

async fn system() -> zbus::Result<Connection> {
    let connection = Builder::system().max_queued(QUEUED).build().await?;
    let bus = "org.freedesktop.DBus";
    let rule = "type='signal',sender='org.freedesktop.systemd1'";
    connection
        .call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), "AddMatch", &rule)
        .await?;
    subscribe(connection).await
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn the_version_is_the_leading_number() {
        assert_eq!(version_number("252.39-1~deb12u2"), 252);
        assert_eq!(version_number("v257.4"), 257);
        assert_eq!(version_number("devel"), 0);
    }
}
