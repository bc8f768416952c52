//! Waiting for the daemons of a node.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use controlplane_machine::Place;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use super::PATIENCE;
use crate::status::is_ready;

pub(super) const CONTROL_PLANE: &str = "floe-controlplane.service";
pub(super) const AGENT: &str = "floe-agent.service";

/// A daemon that was started again this often will not come up by waiting.
const HOPELESS_RESTARTS: u32 = 5;

/// Whether the daemons that `place` is to run are active.
pub(super) fn all_active(place: &Place) -> bool {
    let installed = |unit: &&str| place.run(&["systemctl", "cat", unit]).is_ok();
    let active = |unit: &str| place.run(&["systemctl", "is-active", unit]).is_ok();
    let units = [AGENT, CONTROL_PLANE];
    place.is_running()
        && units
            .iter()
            .filter(|unit| installed(unit))
            .all(|unit| active(unit))
}

/// Waits until `unit` is active; shows its last words where it does not come up.
pub(super) fn wait_active(place: &Place, unit: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let shown = place.run(&[
            "systemctl",
            "show",
            "--value",
            "-p",
            "ActiveState",
            "-p",
            "NRestarts",
            unit,
        ])?;
        let words: Vec<_> = shown.split_whitespace().collect();
        if words.contains(&"active") {
            return Ok(());
        }
        let restarts = words
            .iter()
            .find_map(|word| word.parse::<u32>().ok())
            .unwrap_or_default();
        if restarts >= HOPELESS_RESTARTS {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!(
        "{unit} does not come up on {}: {}",
        place.name(),
        last_words(place, unit)
    )
}

/// The end of what `unit` wrote to the journal.
fn last_words(place: &Place, unit: &str) -> String {
    let words = [
        "journalctl",
        "--unit",
        unit,
        "--lines=4",
        "--output=cat",
        "--no-pager",
    ];
    place
        .run(&words)
        .map_or_else(|err| err.to_string(), |text| text.trim().replace('\n', " | "))
}

/// Waits until the agent of `place` has told the API that it lives, not before `since`, and its Node is
/// Ready: that of a node that was stopped still says so from before.
pub(super) async fn wait_node_ready(client: &Client, place: &Place, since: Timestamp) -> anyhow::Result<()> {
    let leases = Api::<Lease>::namespaced(client.clone(), "kube-node-lease");
    let alive = await_condition(leases, place.name(), |lease: Option<&Lease>| {
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.clone());
        renewed.is_some_and(|time| time.0 >= since)
    });
    let nodes = Api::<Node>::all(client.clone());
    let ready = await_condition(nodes, place.name(), |node: Option<&Node>| {
        node.is_some_and(is_ready)
    });
    let both = async {
        alive.await.context("watch the node's lease")?;
        ready.await.map(drop).context("watch the node")
    };
    match tokio::time::timeout(PATIENCE, Box::pin(both)).await {
        Ok(waited) => waited,
        Err(_) => bail!(
            "node {} does not become Ready: {}",
            place.name(),
            last_words(place, AGENT)
        ),
    }
}
