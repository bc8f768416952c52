//! The service proxy of this node.

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Programs services until `stop`; what is programmed stays.
pub(crate) async fn serve(client: Client, config: Config, stop: CancellationToken) {
    let settings = agent_proxy::Config {
        node_name: config.node_name,
        node_addresses: vec![config.node_ip],
        pod_ranges: vec![config.cluster_cidr.into()],
        // The node's own DNS server answers there.
        node_local: vec![config.cluster_dns],
    };
    agent_proxy::run(client, settings, stop).await;
}
