//! The one task that receives every signal.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tracing::{info, warn};
use zbus::message::Type;

use zbus::{Connection, Message, MessageStream, OwnedObjectPath};

use super::link::{self, Link, MANAGER};
use super::unit_path::unit_of;
use crate::{Change, UnitName};

/// Units whose changes are passed on.
const OURS: &str = "floe";

/// First and longest pause between attempts to connect again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Receives and dispatches until the owner drops the task; connects again whenever it must.
pub(super) async fn run(link: Arc<Link>, connection: Connection) {
    let mut connection = connection;
    loop {
        receive(&link, MessageStream::from(&connection)).await;
        link.replace(None);
        link.jobs.lost();
        warn!("lost the connection to systemd; connecting again");
        connection = reconnect().await;
        link.replace(Some(connection.clone()));
        // No reader is no failure.
        drop(link.changes.send(Change::All));
        info!("connected to systemd again");
    }
}

async fn reconnect() -> Connection {
    let mut pause = PAUSES.0;
    loop {
        tokio::time::sleep(pause).await;
        match link::connect().await {
            Ok(connection) => return connection,
            Err(error) => warn!(%error, "cannot reach systemd yet"),
        }
        pause = PAUSES.1.min(pause * 2);
    }
}

/// Dispatches until the connection ends.
async fn receive(link: &Link, mut messages: MessageStream) {
    while let Some(message) = messages.next().await {
        match message {
            Ok(message) if message.message_type() == Type::Signal => signal(link, &message),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn signal(link: &Link, message: &Message) {
    let header = message.header();
    let (Some(interface), Some(member)) = (header.interface(), header.member()) else {
        return;
    };
    match (interface.as_str(), member.as_str()) {
        (MANAGER, "JobRemoved") => job_removed(link, message),
        (MANAGER, "UnitNew" | "UnitRemoved") => {
            if let Ok((name, _)) = message.body().deserialize::<(String, OwnedObjectPath)>() {
                changed(link, UnitName::parse(&name).ok());
            }
        }
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
            changed(link, header.path().and_then(|path| unit_of(path.as_str())));
        }
        _ => {}
    }
}

fn job_removed(link: &Link, message: &Message) {
    match message
        .body()
        .deserialize::<(u32, OwnedObjectPath, String, String)>()
    {
        Ok((_, job, _, result)) => link.jobs.ended(job.as_str(), &result),
        Err(error) => warn!(%error, "cannot read a JobRemoved signal"),
    }
}

fn changed(link: &Link, unit: Option<UnitName>) {
    if let Some(unit) = unit.filter(|u| u.as_str().starts_with(OURS)) {
        // No reader is no failure.
        drop(link.changes.send(Change::Unit(unit)));
    }
}
