//! The API servers that this node knows, and the one that it talks to.
//!
//! It stays with one until that cannot be relied upon, then turns to the next; whatever was open on the old one is cut,
//! since a server that others have lost shows nothing new and says nothing of it. Servers are learnt from the Service
//! `kubernetes`, as pods reach them, and kept on disk: the one of the configuration may be gone at the next start.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use futures::StreamExt as _;
use http::uri::Authority;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The Service of the API itself, and its slice.
const SERVICE: &str = "kubernetes";
/// Refusals in a row for want of a leader or of time, after which another server is asked.
const REFUSALS: u32 = 3;
/// More than a cluster has; what a file or a slice says beyond is not taken.
const MOST: usize = 16;

/// The servers. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Servers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where learnt ones are kept.
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    configured: Vec<Authority>,
    learnt: Vec<Authority>,
    present: Authority,
    /// Cancelled when the present one is left.
    left: CancellationToken,
    refusals: u32,
}

/// The server to ask now.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) server: Authority,
    /// Cancelled when it is left.
    pub(crate) left: CancellationToken,
}

impl Servers {
    /// Those of the configuration, of which there is one at least, and those that `file` keeps.
    pub(crate) fn open(configured: &[Authority], file: &Path) -> anyhow::Result<Self> {
        let first = configured.first().context("the configuration names no server")?;
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        let learnt = kept.lines().filter_map(|line| line.parse().ok()).take(MOST);
        let state = State {
            present: first.clone(),
            configured: configured.to_vec(),
            learnt: learnt.collect(),
            left: CancellationToken::new(),
            refusals: 0,
        };
        Ok(Self(Arc::new(Inner {
            file: file.to_owned(),
            state: Mutex::new(state),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.state().all().len()
    }

    /// The one to ask.
    pub(crate) fn choose(&self) -> Choice {
        let state = self.state();
        Choice {
            server: state.present.clone(),
            left: state.left.clone(),
        }
    }

    /// `server` cannot be reached, or does not answer: the next is asked from now on.
    pub(crate) fn lost(&self, server: &Authority, why: &str) {
        self.state().turn_from(server, why);
    }

    /// `server` answered that it cannot do its work; once may be chance.
    pub(crate) fn refused(&self, server: &Authority) {
        let mut state = self.state();
        if state.present == *server {
            state.refusals += 1;
            if state.refusals >= REFUSALS {
                state.turn_from(server, "it refuses for want of a leader or of time");
            }
        }
    }

    /// `server` did its work.
    pub(crate) fn answered(&self, server: &Authority) {
        let mut state = self.state();
        if state.present == *server {
            state.refusals = 0;
        }
    }

    /// These are the cluster's servers now. Returns whether that is news.
    fn learn(&self, found: Vec<Authority>) -> bool {
        let mut state = self.state();
        if found.is_empty() || found == state.learnt {
            return false;
        }
        state.learnt = found;
        let present = state.present.clone();
        if !state.all().contains(&present) {
            state.turn_from(
                &present,
                "it is no server of the cluster, or the others have lost it",
            );
        }
        true
    }

    fn keep(&self) {
        let lines: Vec<String> = self.state().learnt.iter().map(|one| format!("{one}\n")).collect();
        let fresh = self.0.file.with_extension("new");
        let written =
            std::fs::write(&fresh, lines.concat()).and_then(|()| std::fs::rename(&fresh, &self.0.file));
        if let Err(error) = written {
            let file = self.0.file.display();
            warn!(error = &error as &dyn std::error::Error, %file, "the servers are not kept for a restart");
        }
    }

    /// Learns the servers that the Service `kubernetes` leads to, until `stop`.
    pub(crate) async fn follow(self, client: Client, stop: CancellationToken) {
        let api = Api::<EndpointSlice>::namespaced(client, "default");
        let mut slices = agent_watch::object(api, SERVICE);
        while let Some(Some(slice)) = stop.run_until_cancelled(slices.next()).await {
            if slice.is_some_and(|slice| self.learn(addresses(&slice))) {
                self.keep();
            }
        }
    }
}

impl State {
    fn all(&self) -> Vec<Authority> {
        let mut all = self.configured.clone();
        all.extend(
            self.learnt
                .iter()
                .filter(|one| !self.configured.contains(one))
                .cloned(),
        );
        all
    }

    fn turn_from(&mut self, server: &Authority, why: &str) {
        // Many notice at once; the first has turned.
        if self.present != *server {
            return;
        }
        self.refusals = 0;
        let all = self.all();
        let after = all.iter().position(|one| one == server).map_or(0, |at| at + 1);
        let Some(next) = all.get(after % all.len().max(1)).filter(|next| *next != server) else {
            return;
        };
        info!(left = %server, why, server = %next, "asking another server");
        self.present = next.clone();
        std::mem::take(&mut self.left).cancel();
    }
}

fn addresses(slice: &EndpointSlice) -> Vec<Authority> {
    let ports = slice.ports.iter().flatten();
    let port = ports.filter_map(|port| port.port).next().unwrap_or(443);
    let addresses = slice
        .endpoints
        .iter()
        .flatten()
        .flat_map(|endpoint| &endpoint.addresses);
    let authority = |address: &String| {
        let text = match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        text.parse().ok()
    };
    addresses.filter_map(authority).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u8) -> Authority {
        format!("10.0.0.{number}:6443").parse().unwrap()
    }

    fn servers(dir: &Path) -> Servers {
        Servers::open(&[at(1)], &dir.join("servers")).unwrap()
    }

    #[test]
    fn one_that_is_lost_is_left_for_the_next_and_what_was_open_on_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let servers = servers(dir.path());
        servers.lost(&at(1), "alone");
        assert_eq!(servers.choose().server, at(1), "there is no other");
        assert!(servers.learn(vec![at(1), at(2), at(3)]) && !servers.learn(vec![at(1), at(2), at(3)]));
        let first = servers.choose();
        servers.lost(&at(1), "gone");
        servers.lost(&at(1), "noticed twice");
        assert!(first.left.is_cancelled());
        let second = servers.choose();
        assert!(second.server == at(2) && !second.left.is_cancelled());
        servers.lost(&at(2), "gone");
        servers.lost(&at(3), "gone");
        assert_eq!(servers.choose().server, at(1), "and round again");
    }

    #[test]
    fn only_refusals_in_a_row_make_it_turn() {
        let dir = tempfile::tempdir().unwrap();
        let servers = servers(dir.path());
        servers.learn(vec![at(1), at(2)]);
        for _ in 0..5 {
            servers.refused(&at(1));
            servers.refused(&at(1));
            servers.answered(&at(1));
        }
        assert_eq!(servers.choose().server, at(1));
        (0..REFUSALS).for_each(|_| servers.refused(&at(1)));
        assert_eq!(servers.choose().server, at(2));
    }

    #[test]
    fn what_was_learnt_outlives_the_agent_and_one_that_was_removed_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let before = servers(dir.path());
        before.learn(vec![at(2), at(3)]);
        before.keep();
        let servers = servers(dir.path());
        assert_eq!(servers.count(), 3);
        servers.lost(&at(1), "gone");
        assert_eq!(servers.choose().server, at(2));
        servers.learn(vec![at(3), at(4)]);
        assert_ne!(servers.choose().server, at(2));
        assert!(
            !servers.learn(Vec::new()),
            "no servers at all is no news to believe"
        );
    }

    #[test]
    fn addresses_of_both_families_are_read_with_their_port() {
        let slice = serde_json::json!({
            "metadata": {"name": "kubernetes"}, "addressType": "IPv6",
            "endpoints": [{"addresses": ["fd00::1"]}, {"addresses": ["10.0.0.2"]}],
            "ports": [{"name": "https", "port": 6443}],
        });
        let read = addresses(&serde_json::from_value(slice).unwrap());
        assert_eq!(read, ["[fd00::1]:6443", "10.0.0.2:6443"]);
    }
}
