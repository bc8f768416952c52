//! Another machine under this node's name.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::machine;
use crate::clock::now;
use crate::config::Config;

/// A node whose lease is older is not alive, Kubernetes' lease duration.
const LIFE: SignedDuration = SignedDuration::from_secs(40);
/// How long the API may take to say; an agent whose API is away goes on with the pods it has.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether the other one is gone.
const LOOK: Duration = Duration::from_secs(5);

/// Waits as long as another machine is alive under this node's name: two agents under one name would run
/// the same pods. Says so whenever it has looked.
pub(crate) async fn wait_gone(client: &Client, config: &Config, stop: &CancellationToken) {
    while let Some(rival) = tokio::time::timeout(PATIENCE, find(client, config))
        .await
        .ok()
        .flatten()
    {
        error!(
            node = %config.node_name,
            address = rival.address,
            machine_id = rival.machine_id,
            "another machine is this node; give one of them another node_name in /etc/floe/agent.toml"
        );
        let pause = stop.run_until_cancelled(tokio::time::sleep(LOOK)).await;
        if pause.is_none() {
            return;
        }
    }
}

/// The other machine.
#[derive(Debug, PartialEq, Eq)]
struct Rival {
    address: String,
    machine_id: String,
}

async fn find(client: &Client, config: &Config) -> Option<Rival> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = nodes.get_opt(&config.node_name).await.ok()??;
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let lease = leases.get_opt(&config.node_name).await.ok()??;
    rival(&node, &lease, &machine::machine_id(), config.node_ip, now())
}

/// The machine that `node` is, where it is alive, has another identity than `machine_id` and another
/// address than `own`: a machine that was set up anew keeps its address.
fn rival(node: &Node, lease: &Lease, machine_id: &str, own: IpAddr, now: Timestamp) -> Option<Rival> {
    let renewed = lease.spec.as_ref()?.renew_time.as_ref()?.0;
    let status = node.status.as_ref()?;
    let theirs = &status.node_info.as_ref()?.machine_id;
    let addresses = status.addresses.iter().flatten();
    let mut internal = addresses.filter(|address| address.type_ == "InternalIP");
    let address = internal.next()?.address.clone();
    let alive = now.duration_since(renewed) < LIFE;
    let another = theirs != machine_id && address != own.to_string();
    (alive && another).then(|| Rival {
        address,
        machine_id: theirs.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:01:00Z";

    fn asked(machine_id: &str, address: &str, renewed: &str) -> Option<Rival> {
        let node = serde_json::json!({"status": {
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"machineID": "first", "architecture": "", "bootID": "", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "operatingSystem": "",
                "osImage": "", "systemUUID": ""},
        }});
        let lease = serde_json::json!({"spec": {"renewTime": renewed}});
        rival(
            &serde_json::from_value(node).unwrap(),
            &serde_json::from_value(lease).unwrap(),
            machine_id,
            address.parse().unwrap(),
            NOW.parse().unwrap(),
        )
    }

    #[test]
    fn only_another_living_machine_is_a_rival() {
        let fresh = "2026-01-01T00:00:50.000000Z";
        let found = asked("second", "10.0.0.2", fresh).unwrap();
        assert_eq!(
            (found.address.as_str(), found.machine_id.as_str()),
            ("10.0.0.1", "first")
        );
        assert_eq!(
            asked("first", "10.0.0.2", fresh),
            None,
            "the same machine at a new address"
        );
        assert_eq!(
            asked("second", "10.0.0.1", fresh),
            None,
            "set up anew at its address"
        );
        assert_eq!(
            asked("second", "10.0.0.2", "2026-01-01T00:00:10.000000Z"),
            None,
            "long silent"
        );
    }
}
