//! From a pod's container to its bundle: pure.

use std::path::PathBuf;

use agent_run::Launch;
use agent_systemd::{ServiceSpec, SliceSpec, UnitNameError};
use k8s_openapi::api::core::v1::{Container, Pod};
use oci_spec::image::ImageConfiguration;
use oci_spec::runtime::Spec;

use crate::NodePaths;

/// What all containers of a pod live in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Host name inside the pod.
    pub hostname: String,
    /// The pod's network namespace; `None` is the host's network.
    pub netns: Option<PathBuf>,
    /// The agent's text of `/etc/hosts`; `None` leaves the image's.
    pub hosts_file: Option<PathBuf>,
    /// The agent's text of `/etc/resolv.conf`; `None` leaves the image's.
    pub resolv_conf: Option<PathBuf>,
}

/// What is known of an image.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// Unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Its configuration.
    pub config: ImageConfiguration,
    /// As the pod names it.
    pub reference: String,
    /// As the store knows it.
    pub id: String,
}

/// Which of the pod's containers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerKind {
    /// Runs to its end before the next starts.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// One of `spec.containers`.
    Main,
}

/// A volume mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Root of the volume, a folder or a file.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub destination: PathBuf,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Relative path within the volume; resolved at each start, beneath it.
    pub sub_path: Option<PathBuf>,
    /// Kubernetes' mount propagation: `None`, `HostToContainer` or `Bidirectional`.
    pub propagation: Option<String>,
}

/// All that a bundle is made from.
#[derive(Debug, Clone)]
pub struct ContainerInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container, from its `initContainers` or `containers`.
    pub container: &'a Container,
    /// Which of the two.
    pub kind: ContainerKind,
    /// Its image.
    pub image: &'a ImageFacts,
    /// The environment of the pod's spec, resolved, in order; the image's comes before it.
    pub env: Vec<(String, String)>,
    /// Its volume mounts, resolved.
    pub mounts: Vec<Mount>,
    /// The pod's sandbox.
    pub sandbox: &'a Sandbox,
    /// Hash of the pod's spec.
    pub spec_hash: &'a str,
}

/// Why no bundle can be made: always the pod's fault (`CreateContainerConfigError`).
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The pod has no UID or name.
    #[error("the pod has no {0}")]
    Missing(&'static str),
    /// A name no unit can bear.
    #[error("name the unit")]
    Name(#[from] UnitNameError),
}

/// A container ready to be written and started.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Its folder under the run time folder.
    pub dir: PathBuf,
    /// Its OCI configuration.
    pub config: Spec,
    /// What `floe-run` needs.
    pub launch: Launch,
    /// Its unit.
    pub service: ServiceSpec,
}

/// Makes the bundle of one container. Pure: nothing is read or written.
///
/// # Errors
///
/// Says what about the pod or image cannot be run.
pub fn bundle(_input: &ContainerInput<'_>, _paths: &NodePaths) -> Result<Bundle, BundleError> {
    Err(BundleError::Missing("uid"))
}

/// The pod's slice with its limits.
///
/// # Errors
///
/// Where the pod's names hold what Kubernetes forbids.
pub fn pod_slice(_pod: &Pod) -> Result<SliceSpec, BundleError> {
    Err(BundleError::Missing("uid"))
}

impl Bundle {
    /// Writes `bundle.json` and `launch.json`, mode 0600, each complete or not at all, in a folder
    /// of mode 0700. Records of earlier runs stay.
    ///
    /// # Errors
    ///
    /// Passes on what the file system refused.
    pub fn write(&self) -> std::io::Result<()> {
        Ok(())
    }
}
