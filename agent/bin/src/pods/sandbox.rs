//! The pod's sandbox: folder, network namespace, addresses, slice, host files.

use std::net::IpAddr;
use std::path::PathBuf;

use agent_cni::{Cni, PodNet, PortMapping};
use agent_core::Sandbox;
use agent_core::dns;
use agent_runtime::{pod_processes, pod_slice};
use agent_systemd::{ErrorClass, UnitManager};
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{ContainerPort, Pod, PodSpec};
use tracing::warn;

use super::checkpoint::{Checkpoint, pod_dir, replace};
use super::worker::Worker;

/// The agent's text of `/etc/hosts`, in the pod's folder.
pub(super) const HOSTS: &str = "_hosts";
/// The agent's text of `/etc/resolv.conf`, in the pod's folder.
pub(super) const RESOLV: &str = "_resolv.conf";

/// The agent's text of `/etc/hostname`, in the pod's folder.
pub(super) const HOSTNAME: &str = "_hostname";

/// Whether `pod` lives on the node's network.
pub(super) fn on_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
}

/// The ports of the node that lead to the pod. One whose address cannot be read is none: it must not
/// become a port of every address.
fn port_mappings(spec: &PodSpec) -> Vec<PortMapping> {
    let ports = agent_core::lasting(spec).flat_map(|container| container.ports.iter().flatten());
    let mapping = |port: &ContainerPort| {
        let host_ip = port.host_ip.as_deref().filter(|ip| !ip.is_empty());
        Some(PortMapping {
            host_port: u16::try_from(port.host_port.filter(|number| *number > 0)?).ok()?,
            container_port: u16::try_from(port.container_port).ok()?,
            protocol: port.protocol.as_deref().unwrap_or("TCP").to_lowercase(),
            host_ip: host_ip.map(str::parse).transpose().ok()?,
        })
    };
    ports.filter_map(mapping).collect()
}

impl<U: UnitManager + 'static> Worker<U> {
    /// Makes what is missing and returns the pod's addresses. Repeating it is harmless.
    pub(super) async fn make_sandbox(&mut self) -> anyhow::Result<Vec<IpAddr>> {
        let dir = pod_dir(&self.context.paths, &self.uid)?;
        let on_host = on_host_network(&self.goal.pod);
        self.netns = (!on_host).then(|| self.netns_path());
        // First of all, so that an agent that is killed on the way finds what it has to take away.
        self.checkpoint(&[])?;
        // PID 1 and the network have nothing to do with each other. Both are brought to their end, whatever comes of
        // the other: a plugin that is dropped half way is killed. Where both fail, the second is told at the next try.
        let (units, network) = tokio::join!(self.start_units(), self.make_network());
        units?;
        let pod_ips = network?;
        let (hosts, resolv) = self.host_files(&pod_ips);
        let hostname = format!(
            "{}\n",
            crate::dns::kernel_hostname(&self.goal.pod, &self.context.config)?
        );
        for (name, text) in [(HOSTS, hosts), (RESOLV, resolv), (HOSTNAME, hostname)] {
            replace(&dir.join(name), text.as_bytes(), 0o644)?;
        }
        self.checkpoint(&pod_ips)?;
        Ok(pod_ips)
    }

    /// The slice, then what runs in it whatever the containers do.
    async fn start_units(&self) -> anyhow::Result<()> {
        let slice = pod_slice(&self.promised_pod())?;
        self.context.units.start_slice(&slice).await?;
        self.start_processes().await
    }

    /// The network namespace with its addresses; the node's, where the pod lives on its network.
    async fn make_network(&self) -> anyhow::Result<Vec<IpAddr>> {
        let Some(netns) = self.netns.clone() else {
            return Ok(vec![self.context.config.node_ip]);
        };
        let path = netns.clone();
        tokio::task::spawn_blocking(move || agent_cni::netns::create(&path)).await??;
        self.attach(netns).await
    }

    /// Starts the unit of the process namespace that the pod's containers share, where they share one.
    async fn start_processes(&self) -> anyhow::Result<()> {
        let Some(service) = pod_processes(&self.goal.pod, &self.context.paths)? else {
            return Ok(());
        };
        match self.context.units.start_service(&service).await {
            // It runs already.
            Err(error) if error.class() == ErrorClass::Conflict => Ok(()),
            other => other.context("make the process namespace that the pod's containers share"),
        }
    }

    fn checkpoint(&self, pod_ips: &[IpAddr]) -> anyhow::Result<()> {
        let checkpoint = Checkpoint {
            pod: Pod::clone(&self.goal.pod),
            accepted_at: self.accepted_at,
            netns: self.netns.clone(),
            pod_ips: pod_ips.to_vec(),
            allocated: self.sizing.now.allocated.clone(),
            applied: self.sizing.now.applied.clone(),
        };
        checkpoint.write(&self.context.paths, &self.uid)
    }

    /// Keeps a spec that has changed for the agent after this one: units are found by the containers it names.
    pub(super) fn keep_spec(&mut self) {
        let Sandbox::Ready { pod_ips } = &self.sandbox else {
            return;
        };
        if !std::mem::take(&mut self.spec_changed) {
            return;
        }
        if let Err(error) = self.checkpoint(pod_ips) {
            warn!(error = format!("{error:#}"), "checkpoint not renewed");
            self.spec_changed = true;
        }
    }

    fn netns_path(&self) -> PathBuf {
        let uid8: String = self.uid.chars().take(8).collect();
        let name: String = self
            .goal
            .pod
            .metadata
            .name
            .as_deref()
            .unwrap_or_default()
            .chars()
            .take(100)
            .collect();
        PathBuf::from(format!("/run/netns/floe-{uid8}-{name}"))
    }

    async fn attach(&self, netns: PathBuf) -> anyhow::Result<Vec<IpAddr>> {
        let config = &self.context.config;
        let cni = Cni::load(&config.cni_conf_dir, &config.cni_bin_dir)?;
        if let Some(known) = cni.cached(&self.uid).filter(|known| !known.ips.is_empty()) {
            let net = self.pod_net(netns.clone());
            if cni.check(&net).await.is_ok() {
                return Ok(known.ips.iter().map(|address| address.ip).collect());
            }
            cni.del(&net).await.context("take a stale network away")?;
        }
        let result = cni
            .add(&self.pod_net(netns))
            .await
            .context("set up the pod's network")?;
        Ok(result.ips.iter().map(|address| address.ip).collect())
    }

    fn pod_net(&self, netns: PathBuf) -> PodNet {
        let meta = &self.goal.pod.metadata;
        PodNet {
            container_id: self.uid.clone(),
            netns,
            namespace: meta.namespace.clone().unwrap_or_default(),
            pod: meta.name.clone().unwrap_or_default(),
            uid: self.uid.clone(),
            port_mappings: self.goal.pod.spec.as_ref().map(port_mappings).unwrap_or_default(),
            bandwidth: None,
        }
    }

    fn host_files(&self, pod_ips: &[IpAddr]) -> (String, String) {
        let config = &self.context.config;
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let hosts = if on_host_network(&self.goal.pod) {
            dns::host_network_hosts(&self.goal.pod, &read("/etc/hosts"))
        } else {
            dns::hosts(&self.goal.pod, pod_ips, &config.cluster_domain)
        };
        let resolv = crate::dns::resolv_conf(&self.goal.pod, config);
        for omitted in resolv.omitted {
            let event = crate::dns::omission(omitted);
            self.context.events.about_pod(&self.goal.pod, None, event);
        }
        (hosts, resolv.text)
    }

    /// Takes address and network namespace away; what fails is logged and the rest goes on.
    pub(super) async fn tear_down_network(&mut self) {
        if on_host_network(&self.goal.pod) {
            return;
        }
        let netns = self.netns.take().unwrap_or_else(|| self.netns_path());
        let config = &self.context.config;
        let deleted = match Cni::load(&config.cni_conf_dir, &config.cni_bin_dir) {
            Ok(cni) => {
                let net = self.pod_net(netns.clone());
                // A plugin that was killed is asked once more, rather than leave its work to the next sweep.
                match cni.del(&net).await {
                    Ok(()) => Ok(()),
                    Err(_) => cni.del(&net).await,
                }
            }
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            warn!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "network not taken away"
            );
        }
        match tokio::task::spawn_blocking(move || agent_cni::netns::remove(&netns)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "network namespace not removed"
                );
            }
            Err(error) => warn!(error = %error, "network namespace not removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn host_ports_of_containers_that_last_are_mapped() {
        let port = |number: i32| json!([{"containerPort": 80, "hostPort": number}]);
        let spec = json!({
            "initContainers": [
                {"name": "ends", "ports": port(1)},
                {"name": "sidecar", "restartPolicy": "Always", "ports": port(2)},
            ],
            "containers": [{"name": "main", "ports": [
                {"containerPort": 81, "hostPort": 3, "protocol": "UDP", "hostIP": "192.0.2.1"},
                {"containerPort": 82, "hostPort": 4, "hostIP": ""},
                {"containerPort": 83, "hostPort": 5, "hostIP": "nonsense"},
                {"containerPort": 84},
            ]}],
        });
        let mapped = port_mappings(&serde_json::from_value(spec).unwrap());
        let shown: Vec<_> = mapped
            .iter()
            .map(|m| {
                (
                    m.host_port,
                    m.container_port,
                    m.protocol.as_str(),
                    m.host_ip.is_some(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [(2, 80, "tcp", false), (3, 81, "udp", true), (4, 82, "tcp", false)]
        );
    }
}
