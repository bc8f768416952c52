//! Starting all controllers.

use std::future::Future;

use controlplane_events::recorder;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::supervise::supervise;
use crate::{Config, backends, csr, deployment, garbage, namespace, node_ipam, nodes, replicaset, standard};

/// Runs every controller until `stop`; a controller that fails starts again after a pause.
pub async fn run(client: Client, config: Config, stop: CancellationToken) {
    let mut team = Team {
        client,
        stop,
        members: JoinSet::new(),
    };
    let signer = config.signer.clone();
    team.add_silent("certificatesigningrequest", move |client, stop| {
        csr::run(client, signer.clone(), stop)
    });
    team.add_silent("serviceaccount", standard::service_accounts);
    let pem = config.signer.certificate_pem().to_owned();
    team.add_silent("root-ca-certificate-publisher", move |client, stop| {
        standard::root_certificates(client, pem.clone(), stop)
    });
    team.add_silent("endpoints", backends::run);
    team.add("garbage-collector", "garbage-collector-controller", garbage::run);
    team.add_silent("namespace", namespace::run);
    let pods = config.pods;
    team.add("node-ipam", "cidrAllocator", move |client, recorder, stop| {
        node_ipam::run(client, recorder, pods, stop)
    });
    let (grace, threshold) = (config.node_monitor_grace, config.terminated_pod_threshold);
    team.add_silent("nodes", move |client, stop| {
        nodes::run(client, grace, threshold, stop)
    });
    team.add("deployment", "deployment-controller", deployment::run);
    team.add("replicaset", "replicaset-controller", replicaset::run);
    while team.members.join_next().await.is_some() {}
}

struct Team {
    client: Client,
    stop: CancellationToken,
    members: JoinSet<()>,
}

impl Team {
    /// Adds a controller that reports events as `component`.
    fn add<F, Fut>(&mut self, name: &'static str, component: &'static str, controller: F)
    where
        F: Fn(Client, controlplane_events::Recorder, CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (recorder, writer) = recorder(self.client.clone(), component, self.stop.clone());
        self.members.spawn(writer);
        self.add_silent(name, move |client, stop| {
            controller(client, recorder.clone(), stop)
        });
    }

    /// Adds a controller that reports no events.
    fn add_silent<F, Fut>(&mut self, name: &'static str, controller: F)
    where
        F: Fn(Client, CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (client, stop) = (self.client.clone(), self.stop.clone());
        let start = {
            let stop = stop.clone();
            move || controller(client.clone(), stop.clone())
        };
        self.members.spawn(supervise(name, start, stop));
    }
}
