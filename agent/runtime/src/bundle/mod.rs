//! From a pod's container to its bundle: pure.

mod limits;
mod linux;
mod mounts;
mod process;
mod processes;
mod seccomp;
mod security;
mod service;
mod sizes;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;

use agent_core::Role;
use agent_run::{BackOff, Held, Identity, LAUNCH_VERSION, Launch, PodShare, Rootfs};
use agent_systemd::{ServiceSpec, SliceSpec, UnitNameError};
use k8s_openapi::api::core::v1::{Container, Pod};
use oci_spec::OciSpecError;
use oci_spec::image::ImageConfiguration;
use oci_spec::runtime::{RootBuilder, Spec, SpecBuilder};

pub use self::processes::pod_processes;
use self::security::Security;
pub use self::sizes::resized_units;
pub use self::write::WriteError;
use crate::{NodePaths, names, slice_name, unit_name};

/// What all containers of a pod live in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Host name inside the pod.
    pub hostname: String,
    /// The pod's network namespace; `None` is the host's network.
    pub netns: Option<PathBuf>,
    /// The agent's text of `/etc/hosts`; `None` leaves the image's.
    pub hosts_file: Option<PathBuf>,
    /// The agent's text of `/etc/resolv.conf`; `None` leaves the image's.
    pub resolv_conf: Option<PathBuf>,
    /// The agent's text of `/etc/hostname`; `None` leaves the image's.
    pub hostname_file: Option<PathBuf>,
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
    /// The container, from any list of the pod.
    pub container: &'a Container,
    /// Its part in the pod.
    pub role: Role,
    /// Its image.
    pub image: &'a ImageFacts,
    /// The environment of the pod's spec, resolved, in order; the image's comes before it.
    pub env: Vec<(String, String)>,
    /// Its volume mounts, resolved.
    pub mounts: Vec<Mount>,
    /// The pod's sandbox.
    pub sandbox: &'a Sandbox,
    /// The process namespace of the container that an ephemeral one looks into.
    pub target_processes: Option<PathBuf>,
    /// Hash of the pod's spec.
    pub spec_hash: &'a str,
    /// The node's memory in bytes, against which the OOM score is reckoned.
    pub node_memory: u64,
}

/// Why no bundle can be made: always the pod's or the image's fault (`CreateContainerConfigError`).
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The pod lacks what every pod of the API has.
    #[error("the pod has no {0}")]
    Missing(&'static str),
    /// A name that is no file name.
    #[error("{0:?} cannot name a container's folder")]
    Folder(String),
    /// A name no unit can bear.
    #[error("name the unit")]
    Name(#[from] UnitNameError),
    /// Nothing to run.
    #[error("no command specified: neither the container nor image {0} has one")]
    NoCommand(String),
    /// `runAsNonRoot` with `runAsUser: 0`.
    #[error("container's runAsUser breaks non-root policy")]
    RootByPod,
    /// `runAsNonRoot` with an image that runs as root.
    #[error("container has runAsNonRoot and image will run as root")]
    RootByImage,
    /// `runAsNonRoot` with an image whose user is a name.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({0}), cannot verify user is non-root"
    )]
    UserByName(String),
    /// No such capability.
    #[error("{0:?} is no capability")]
    Capability(String),
    /// No such signal.
    #[error("{0:?} is no signal")]
    Signal(String),
    /// A user or group id out of range.
    #[error("{0} is no user or group id")]
    Id(i64),
    /// A kernel parameter that is not the pod's own.
    #[error("sysctl {0:?} would change the node, not the pod alone")]
    Sysctl(String),
    /// A seccomp profile of an unknown type, or of one that is not there yet.
    #[error("seccomp profile type {0:?} is not supported; RuntimeDefault and Unconfined are")]
    Seccomp(String),
    /// The built-in seccomp profile is damaged: a bug.
    #[error("read the built-in seccomp profile")]
    Profile(#[source] serde_json::Error),
    /// The OCI configuration is incomplete: a bug.
    #[error("build the OCI configuration")]
    Spec(#[from] OciSpecError),
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
pub fn bundle(input: &ContainerInput<'_>, paths: &NodePaths) -> Result<Bundle, BundleError> {
    let uid = names::folder(
        input
            .pod
            .metadata
            .uid
            .as_deref()
            .ok_or(BundleError::Missing("uid"))?,
    )?;
    let dir = paths.container_dir(uid, names::folder(&input.container.name)?);
    let unit = unit_name(input.pod, &input.container.name)?;
    let slice = slice_name(input.pod)?;
    let security = Security::of(input);
    let launch = launch(input, paths, &security, (unit.as_str(), slice.as_str()))?;
    let config = config(input, paths, &security, &launch.pod)?;
    let service = service::service(input, paths, &launch, (unit, slice))?;
    Ok(Bundle {
        dir,
        config,
        launch,
        service,
    })
}

/// The pod's slice with its limits.
///
/// # Errors
///
/// Where the pod's names hold what Kubernetes forbids.
pub fn pod_slice(pod: &Pod) -> Result<SliceSpec, BundleError> {
    let meta = &pod.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or("default");
    let name = meta.name.as_deref().ok_or(BundleError::Missing("name"))?;
    Ok(SliceSpec {
        name: slice_name(pod)?,
        description: format!("Pod {namespace}/{name}"),
        limits: limits::pod(pod),
    })
}

fn config(
    input: &ContainerInput<'_>,
    paths: &NodePaths,
    security: &Security<'_>,
    pod: &PodShare,
) -> Result<Spec, BundleError> {
    let capabilities = security.capabilities()?;
    // The path is filled in at each start.
    let root = RootBuilder::default()
        .path("rootfs")
        .readonly(security.read_only_root())
        .build()?;
    let mut spec = SpecBuilder::default()
        .version("1.0.2")
        .root(root)
        .process(process::process(input, security, &capabilities)?)
        .mounts(mounts::mounts(input, paths, pod)?)
        .linux(linux::linux(input, security, pod, &capabilities)?)
        .build()?;
    // The crate's default is a name of its own; the pod's is set where its namespace is made.
    spec.set_hostname(None);
    Ok(spec)
}

fn launch(
    input: &ContainerInput<'_>,
    paths: &NodePaths,
    security: &Security<'_>,
    (unit, slice): (&str, &str),
) -> Result<Launch, BundleError> {
    let identity = identity(input, unit, slice)?;
    let (uid, name) = (identity.pod_uid.as_str(), identity.container.as_str());
    let image_user = input
        .image
        .config
        .config()
        .as_ref()
        .and_then(|c| c.user().as_deref())
        .unwrap_or_default();
    let host_ipc = input.pod.spec.as_ref().and_then(|s| s.host_ipc).unwrap_or(false);
    Ok(Launch {
        version: LAUNCH_VERSION,
        container_id: format!("{uid}-{name}"),
        crun: paths.crun.clone(),
        crun_root: paths.crun_root(),
        mount_namespace: paths.mount_namespace(),
        pod: PodShare {
            dir: paths.pod_dir(uid),
            // A pod on the host's network keeps the host's name.
            hostname: input
                .sandbox
                .netns
                .as_ref()
                .map(|_| input.sandbox.hostname.clone()),
            own_ipc: !host_ipc,
            shared_processes: processes::shared(input.pod),
            etc: mounts::etc_files(input),
        },
        rootfs: Rootfs {
            layers: input.image.layers.clone(),
            writable: paths.writable_layer(uid, name),
        },
        sub_paths: mounts::sub_paths(input, &paths.container_dir(uid, name)),
        user: security.user(image_user)?,
        back_off: BackOff::default(),
        held: held(input.container),
        host_devices: security.privileged(),
        identity,
    })
}

/// What of the container's streams a holder holds; most have none.
fn held(container: &Container) -> Option<Held> {
    let held = Held {
        tty: container.tty.unwrap_or(false),
        stdin: container.stdin.unwrap_or(false),
        // Without stdin it says nothing.
        stdin_once: container.stdin.unwrap_or(false) && container.stdin_once.unwrap_or(false),
    };
    (held.tty || held.stdin).then_some(held)
}

fn identity(input: &ContainerInput<'_>, unit: &str, slice: &str) -> Result<Identity, BundleError> {
    let meta = &input.pod.metadata;
    let kind = match input.role {
        Role::Init => "init",
        Role::Sidecar => "sidecar",
        Role::Main => "main",
        Role::Ephemeral => "ephemeral",
    };
    Ok(Identity {
        namespace: meta.namespace.clone().unwrap_or_else(|| "default".into()),
        pod: meta.name.clone().ok_or(BundleError::Missing("name"))?,
        pod_uid: meta.uid.clone().ok_or(BundleError::Missing("uid"))?,
        container: input.container.name.clone(),
        kind: kind.into(),
        unit: unit.into(),
        slice: slice.into(),
        spec_hash: input.spec_hash.into(),
        image: input.image.reference.clone(),
        image_id: input.image.id.clone(),
    })
}
