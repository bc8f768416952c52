//! The service proxy of this node.

use std::path::Path;
use std::sync::Arc;

use cni_plugins_nft::{Masquerade, NftError};
use kube::Client;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Config;
use crate::host_ports;
use crate::network;

/// Programs services until `stop`, and keeps what the plugins programmed; what is programmed stays. `network`
/// changes with the pods' network.
pub(crate) async fn serve(
    client: Client,
    config: Config,
    network: watch::Receiver<Option<String>>,
    stop: CancellationToken,
) {
    let settings = agent_proxy::Config {
        node_name: config.node_name,
        pod_ranges: vec![config.cluster_cidr.into()],
        // The node's own DNS server answers there.
        node_local: vec![config.cluster_dns],
    };
    let repaired = Arc::new(Notify::new());
    let lost = Notify::new();
    let ports = (config.cni_conf_dir.clone(), config.cni_bin_dir.clone());
    let proxy = agent_proxy::run(client, settings, Arc::clone(&repaired), stop);
    let file = config.cni_conf_dir.join(network::FILE);
    tokio::select! {
        // Cancel-safe: it is over.
        () = proxy => {}
        // Cancel-safe: it ends with the proxy, and what it makes is made on a thread of its own.
        () = keep_masquerade(&file, &repaired, &lost) => {}
        // Cancel-safe: as above.
        () = host_ports::keep(&ports, &lost, network) => {}
    }
}

/// Puts back the rules of our own network whenever the table had to be repaired: the plugin that made
/// them looks at them at its next ADD, and until then pods would reach nothing outside of the cluster. Tells
/// `lost` that other tables may be gone as well.
async fn keep_masquerade(file: &Path, repaired: &Notify, lost: &Notify) {
    loop {
        repaired.notified().await;
        lost.notify_one();
        let Some(wanted) = std::fs::read(file).ok().and_then(|bytes| masquerade(&bytes)) else {
            continue;
        };
        let restored = tokio::task::spawn_blocking(move || restore(&wanted)).await;
        match restored {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => warn!("rules that masquerade pods were gone from the table inet floe; restored"),
            Ok(Err(error)) => warn!(
                error = &error as &dyn std::error::Error,
                "pods are not masqueraded"
            ),
            Err(error) => warn!(error = %error, "pods are not masqueraded"),
        }
    }
}

fn restore(wanted: &Masquerade) -> Result<bool, NftError> {
    if cni_plugins_nft::is_applied(wanted) {
        return Ok(false);
    }
    cni_plugins_nft::apply(wanted).map(|()| true)
}

/// What the bridge plugin masquerades by a list of plugins that we wrote.
fn masquerade(conflist: &[u8]) -> Option<Masquerade> {
    let list: Value = serde_json::from_slice(conflist).ok()?;
    let bridge = list.pointer("/plugins/0")?;
    if bridge.get("ipMasq")?.as_bool() != Some(true) {
        return None;
    }
    let subnet = bridge.pointer("/ipam/ranges/0/0/subnet")?.as_str()?;
    let except = bridge.get("masqueradeExcept").and_then(Value::as_array);
    let except = except.into_iter().flatten().filter_map(Value::as_str);
    Some(Masquerade {
        network: list.get("name")?.as_str()?.to_owned(),
        sources: vec![subnet.parse().ok()?],
        except: except.filter_map(|net| net.parse().ok()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_that_the_bridge_plugin_makes() {
        let config = crate::config::tests::least();
        let site = cni_plugins_netlink::Site {
            subnet: "10.42.3.0/24".parse().unwrap(),
            node: [192, 0, 2, 3].into(),
        };
        let list = network::conflist(site, 1450, config.cluster_cidr, config.cluster_dns);
        let wanted = masquerade(&serde_json::to_vec(&list).unwrap()).unwrap();
        assert_eq!(
            wanted.comments(),
            ["network floe: 10.42.3.0/24 to all but 10.42.3.0/24 10.42.0.0/16 224.0.0.0/4"]
        );
        assert!(masquerade(b"{}").is_none());
    }
}
