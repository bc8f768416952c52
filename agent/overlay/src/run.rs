//! The overlay as a task of the agent.

use std::path::PathBuf;
use std::time::Duration;

use cni_plugins_netlink::{Links, Monitor, Netlink, NetlinkError, Notice, Site, Watched};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::engine::{Cause, Engine, Outcome, Place};
use crate::goal::DEVICE;
use crate::memory::Memory;
use crate::nodes::Nodes;

/// Time for the rest of a change on this machine to come, before it is looked at.
const SETTLE: Duration = Duration::from_millis(20);
/// The longest such time, where somebody changes things again and again.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// A repair after which none was needed for so long was not one of a series.
const CALM: Duration = Duration::from_secs(10);
/// How long after a failure the next try is made, at first and at last.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often a look is taken though nothing was told.
const RESYNC: Duration = Duration::from_mins(5);

/// Why nothing is done yet.
const UNHEARD: &str =
    "the cluster's nodes are not known: none are remembered, and the API server has not listed them yet";

/// What [`run`] works on.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where this node is.
    pub place: Place,
    /// File of what is remembered of the nodes.
    pub memory: PathBuf,
}

/// How this node's part of the overlay is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No look was taken yet: it is as the last start left it.
    Unknown,
    /// It is not wanted.
    Off,
    /// It cannot take pods yet.
    Unready(String),
    /// It is programmed.
    Ready {
        /// This node's place.
        site: Site,
        /// The largest packet of its pods.
        mtu: u32,
    },
}

/// Keeps the overlay as the Node objects say, and `state` true, until `stop`.
///
/// While `wanted` is false (another network serves the pods) there is none. While the API is away,
/// what is there stays, and a start begins with what is remembered.
pub async fn run(
    client: Client,
    options: Options,
    mut wanted: watch::Receiver<bool>,
    state: watch::Sender<State>,
    stop: CancellationToken,
) {
    loop {
        match Overlay::open(&options, &state) {
            Ok(overlay) => {
                let ended = stop.run_until_cancelled(overlay.keep(&client, &mut wanted)).await;
                if ended.is_none() {
                    return;
                }
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "overlay not begun");
                state.send_replace(State::Unready(said(&error)));
            }
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(RETRY.0))
            .await
            .is_none()
        {
            return;
        }
    }
}

/// The task's state.
struct Overlay<'a> {
    engine: Engine<Netlink>,
    monitor: Monitor,
    nodes: Nodes,
    memory: Memory,
    state: &'a watch::Sender<State>,
    /// When the next look is due, and why.
    due: (Instant, Cause),
    settle: Duration,
    repaired: Option<Instant>,
    retry: Duration,
    /// Whose notices matter: the device and the link with the node's address.
    watched: Vec<u32>,
}

impl<'a> Overlay<'a> {
    fn open(options: &Options, state: &'a watch::Sender<State>) -> Result<Self, NetlinkError> {
        let memory = Memory::at(&options.memory);
        Ok(Self {
            // Listening comes before the first look.
            monitor: Monitor::open(Watched::Everything)?,
            engine: Engine::new(Netlink::open()?, options.place.clone()),
            nodes: Nodes::new(memory.read()),
            memory,
            state,
            due: (Instant::now(), Cause::Look),
            settle: SETTLE,
            repaired: None,
            retry: RETRY.0,
            watched: Vec::new(),
        })
    }

    /// Returns when the monitor broke; dropping it loses nothing that the next does not find.
    async fn keep(mut self, client: &Client, wanted: &mut watch::Receiver<bool>) {
        let nodes: Api<Node> = Api::all(client.clone());
        let mut events = agent_watch::events(nodes, watcher::Config::default());
        loop {
            tokio::select! {
                biased;
                // Cancel-safe: an event is taken or left.
                event = events.next() => match event {
                    Some(event) => self.told(&event).await,
                    None => return,
                },
                // Cancel-safe: a value counts as seen only once `changed` returns.
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.hasten(Instant::now(), Cause::Look);
                }
                // Cancel-safe: a dropped sleep loses nothing.
                () = tokio::time::sleep_until(self.due.0) => {
                    let on = *wanted.borrow_and_update();
                    self.look(on).await;
                }
                // Cancel-safe: a notice is taken or left.
                notice = self.monitor.next() => match notice {
                    Some(notice) if self.matters(notice) => self.hasten(Instant::now() + self.settle, Cause::Kernel),
                    Some(_) => {}
                    None => return,
                },
            }
        }
    }

    /// Has a look taken at `when` at the latest.
    fn hasten(&mut self, when: Instant, cause: Cause) {
        if when < self.due.0 {
            self.due = (when, cause);
        }
    }

    async fn told(&mut self, event: &watcher::Event<Node>) {
        if !self.nodes.take(event) {
            return;
        }
        if let Some(nodes) = self.nodes.known().cloned() {
            let memory = self.memory.clone();
            let written = tokio::task::spawn_blocking(move || memory.write(&nodes)).await;
            if let Ok(Err(error)) = written {
                warn!(error = %error, "nodes not remembered");
            }
        }
        self.due = (Instant::now(), Cause::Api);
    }

    fn matters(&self, notice: Notice) -> bool {
        match notice {
            Notice::Lost => true,
            Notice::Link(index) | Notice::LinkGone(index) | Notice::Address(index) => {
                self.watched.contains(&index)
            }
            Notice::Neighbour(index) | Notice::Route(Some(index)) => self.watched.first() == Some(&index),
            Notice::Route(None) => false,
        }
    }

    async fn look(&mut self, wanted: bool) {
        let cause = self.due.1;
        self.due = (Instant::now() + RESYNC, Cause::Look);
        let looked = if wanted {
            look(&mut self.engine, &self.nodes, cause).await.map(Some)
        } else {
            self.engine.withdraw().await.map(|()| None)
        };
        match looked {
            Ok(Some(outcome)) => self.done(outcome, cause).await,
            Ok(None) => drop(self.state.send_replace(State::Off)),
            Err(error) => self.failed(&error),
        }
    }

    async fn done(&mut self, outcome: Outcome, cause: Cause) {
        self.retry = RETRY.0;
        let refused = matches!(outcome, Outcome::Refused(_));
        let state = match outcome {
            Outcome::Waiting(why) | Outcome::Refused(why) => State::Unready(why),
            Outcome::Ready { site, mtu, changed } => {
                self.pace(cause == Cause::Kernel && !changed.is_empty());
                State::Ready { site, mtu }
            }
        };
        if let State::Ready { site, .. } = &state {
            self.watched = self.indices(*site).await;
        }
        let now = state.clone();
        let changed = |old: &mut State| std::mem::replace(old, state) != now;
        if self.state.send_if_modified(changed)
            && refused
            && let State::Unready(why) = &now
        {
            warn!(reason = why, "overlay is refused");
        }
    }

    /// Whoever undoes each repair at once does not get an agent that does nothing else.
    fn pace(&mut self, repaired: bool) {
        let now = Instant::now();
        if repaired {
            self.repaired = Some(now);
            self.settle = (self.settle * 2).min(SETTLE_MAX);
        } else if self.repaired.is_none_or(|at| now - at > CALM) {
            self.settle = SETTLE;
        }
    }

    fn failed(&mut self, error: &NetlinkError) {
        warn!(
            error = error as &dyn std::error::Error,
            "overlay not programmed; trying again"
        );
        self.hasten(Instant::now() + self.retry, Cause::Look);
        self.retry = (self.retry * 2).min(RETRY.1);
        // A node that was ready stays so: most of it is programmed.
        let why = said(error);
        self.state.send_if_modified(|state| match state {
            State::Unready(old) if *old == why => false,
            State::Ready { .. } => false,
            State::Unready(_) | State::Off | State::Unknown => {
                *state = State::Unready(why);
                true
            }
        });
    }

    /// The device's index, then the uplink's.
    async fn indices(&self, site: Site) -> Vec<u32> {
        let Ok(tables) = self.engine.links().tables().await else {
            return Vec::new();
        };
        let found = [tables.named(DEVICE), tables.with_address(site.node)];
        found.into_iter().flatten().map(|link| link.index).collect()
    }
}

/// Takes a look once it is known which nodes there are: the entries of those that are not known would go.
async fn look<L: Links>(
    engine: &mut Engine<L>,
    nodes: &Nodes,
    cause: Cause,
) -> Result<Outcome, NetlinkError> {
    match nodes.known() {
        Some(nodes) => engine.look(nodes, cause).await,
        None => Ok(Outcome::Waiting(UNHEARD.to_owned())),
    }
}

fn said(error: &NetlinkError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cni_plugins_netlink::{Entry, MemoryLinks};

    use super::*;
    use crate::facts::NodeFacts;

    #[tokio::test]
    async fn peers_stay_while_nobody_knows_which_nodes_there_are() {
        let links = MemoryLinks::new();
        links.add("eth0", 1500, &[Entry::Address("192.0.2.1/24".parse().unwrap())]);
        let place = Place {
            name: "n0".to_owned(),
            node: [192, 0, 2, 1].into(),
            subnet: Some("10.42.0.0/24".parse().unwrap()),
            cluster: "10.42.0.0/16".parse().unwrap(),
            links: Vec::new(),
        };
        let mut engine = Engine::new(links, place);
        let peer = NodeFacts {
            since: "0".to_owned(),
            subnet: Some("10.42.1.0/24".to_owned()),
            address: Some("192.0.2.2".to_owned()),
        };
        let nodes = Nodes::new(Some(BTreeMap::from([("n1".to_owned(), peer)])));
        look(&mut engine, &nodes, Cause::Look).await.unwrap();
        let before = engine.links().tables().await.unwrap();

        let mut unheard = Nodes::new(None);
        let outcome = look(&mut engine, &unheard, Cause::Look).await.unwrap();
        assert_eq!(outcome, Outcome::Waiting(UNHEARD.to_owned()));
        assert_eq!(engine.links().tables().await.unwrap(), before);

        unheard.take(&watcher::Event::InitDone);
        look(&mut engine, &unheard, Cause::Api).await.unwrap();
        assert_ne!(engine.links().tables().await.unwrap(), before, "none was listed");
    }
}
