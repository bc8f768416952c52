//! What the controllers are told from outside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use controlplane_pki::CertificateAuthority;

use crate::PodRange;

/// Settings of [`run`](crate::run).
#[derive(Clone)]
pub struct Config {
    /// Signs approved certificate requests; its certificate is what `kube-root-ca.crt` publishes.
    pub signer: Arc<CertificateAuthority>,
    /// The pod addresses that nodes get parts of.
    pub pods: PodRange,
    /// How long a node may be silent before it counts as unreachable.
    pub node_monitor_grace: Duration,
    /// Ended pods beyond this number are deleted, the oldest first; 0 keeps all.
    pub terminated_pod_threshold: usize,
}

impl Config {
    /// [`Config::node_monitor_grace`] where nobody says otherwise, as upstream.
    pub const NODE_MONITOR_GRACE: Duration = Duration::from_secs(50);
    /// [`Config::terminated_pod_threshold`] where nobody says otherwise, as upstream.
    pub const TERMINATED_POD_THRESHOLD: usize = 12_500;
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("pods", &self.pods)
            .field("node_monitor_grace", &self.node_monitor_grace)
            .field("terminated_pod_threshold", &self.terminated_pod_threshold)
            .finish_non_exhaustive()
    }
}
