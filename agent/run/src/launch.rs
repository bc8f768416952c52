//! What `floe-run` must know to start one container.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{BackOff, FormatError, Held, file};

/// Version of the bundle format that this build reads and writes.
pub const LAUNCH_VERSION: u32 = 1;
/// The launch description, in the container's directory.
pub const LAUNCH_FILE: &str = "launch.json";
/// The OCI configuration as the agent made it; secrets are in it, so 0600.
pub const BUNDLE_FILE: &str = "bundle.json";
/// Why the container could not be started, where it could not.
pub const ERROR_FILE: &str = "start-error";
/// Where the root file system is mounted, in the container's directory.
pub const ROOTFS_DIR: &str = "rootfs";
/// The OCI configuration with its user resolved, as handed to crun.
pub const CONFIG_FILE: &str = "config.json";
/// The exit records.
pub const RECORDS_FILE: &str = "records.json";
/// What the container is doing now.
pub const STATE_FILE: &str = "state.json";
/// Process id of the container's init, the unit's `PIDFile=`.
pub const PID_FILE: &str = "pid";

/// Everything `floe-run` needs beside the OCI configuration. `launch.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// [`LAUNCH_VERSION`] of the writer.
    pub version: u32,
    /// Whose container this is.
    pub identity: Identity,
    /// crun's id of the container.
    pub container_id: String,
    /// The crun program.
    pub crun: PathBuf,
    /// crun's `--root`.
    pub crun_root: PathBuf,
    /// Where the pods' mount namespace is pinned.
    pub mount_namespace: PathBuf,
    /// What the pod's containers share.
    pub pod: PodShare,
    /// The root file system.
    pub rootfs: Rootfs,
    /// Volume parts to resolve at each start.
    pub sub_paths: Vec<SubPath>,
    /// The user to resolve in the image's files.
    pub user: UserSpec,
    /// The pause between restarts.
    pub back_off: BackOff,
    /// The streams that are held for those who attach; absent where the journal has them directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Whether it gets the node's devices.
    #[serde(default)]
    pub host_devices: bool,
}

/// Whose container it is, as adoption and messages need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub pod_uid: String,
    /// Name of the container.
    pub container: String,
    /// `init`, `sidecar`, `main` or `ephemeral`.
    pub kind: String,
    /// The container's unit.
    pub unit: String,
    /// The pod's slice.
    pub slice: String,
    /// Hash of the pod's spec this was made from.
    pub spec_hash: String,
    /// Image as the pod names it.
    pub image: String,
    /// Image as the store resolved it.
    pub image_id: String,
}

/// What the containers of a pod share; the first one to start makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodShare {
    /// `/run/floe/pods/<uid>`.
    pub dir: PathBuf,
    /// Host name of the pod's own UTS namespace; `None` stays in the host's.
    pub hostname: Option<String>,
    /// Whether the pod has its own IPC namespace.
    pub own_ipc: bool,
    /// Whether its containers are in one process namespace.
    #[serde(default)]
    pub shared_processes: bool,
    /// Files of `/etc`, copied to the pod's bounded scratch.
    pub etc: Vec<EtcFile>,
}

impl PodShare {
    /// What is known of a pod by its folder alone.
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            hostname: None,
            own_ipc: false,
            shared_processes: true,
            etc: Vec::new(),
        }
    }

    /// Pin of the process namespace that the pod's containers share.
    #[must_use]
    pub fn process_namespace(&self) -> PathBuf {
        self.dir.join("_ns").join("pid")
    }

    /// Folder of the first process in it, with its [`PID_FILE`].
    #[must_use]
    pub fn processes(&self) -> PathBuf {
        self.dir.join("_processes")
    }

    /// Pin of the pod's IPC namespace.
    #[must_use]
    pub fn ipc_namespace(&self) -> PathBuf {
        self.dir.join("_ns").join("ipc")
    }

    /// Pin of the pod's UTS namespace.
    #[must_use]
    pub fn uts_namespace(&self) -> PathBuf {
        self.dir.join("_ns").join("uts")
    }

    /// The pod's `/dev/shm`.
    #[must_use]
    pub fn shm(&self) -> PathBuf {
        self.dir.join("_shm")
    }

    /// The bounded tmpfs for small files that containers may write.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.dir.join("_scratch")
    }

    /// The containers' view of a file of `/etc`.
    #[must_use]
    pub fn etc_file(&self, name: &str) -> PathBuf {
        self.scratch().join(name)
    }

    /// The termination message file of a container; the dot keeps it apart from `/etc`'s names.
    #[must_use]
    pub fn termination_message(&self, container: &str) -> PathBuf {
        self.scratch().join(format!("{container}.message"))
    }
}

/// One file of the pod's `/etc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcFile {
    /// `hosts`, `hostname` or `resolv.conf`.
    pub name: String,
    /// The agent's copy of it.
    pub source: PathBuf,
}

/// The root file system: read-only layers and a writable one made anew at each start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// Unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Folder for the writable layer, on a file system that is no overlay.
    pub writable: PathBuf,
}

/// A part of a volume, resolved beneath the volume at each start, never through a link out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubPath {
    /// Root of the volume.
    pub volume: PathBuf,
    /// Relative path within it.
    pub path: PathBuf,
    /// Where it is bound for crun to find it.
    pub target: PathBuf,
}

/// Who the process runs as, as far as numbers were not known beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// `user[:group]` of the image, names or numbers; empty is root.
    pub image_user: String,
    /// `runAsUser`.
    pub uid: Option<u32>,
    /// `runAsGroup`.
    pub gid: Option<u32>,
    /// `supplementalGroups` and `fsGroup`.
    pub extra_groups: Vec<u32>,
    /// Whether the groups that the image's `/etc/group` gives the user count (supplementalGroupsPolicy Merge).
    pub merge_image_groups: bool,
}

impl Launch {
    /// The node's folder under `/run`, where what all its containers share lies.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        self.crun_root.parent().unwrap_or(&self.crun_root)
    }

    /// Reads `launch.json` of the container's directory; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it.
    pub fn read(dir: &Path) -> Result<Option<Self>, FormatError> {
        file::read(&dir.join(LAUNCH_FILE))
    }

    /// Replaces `launch.json`.
    ///
    /// # Errors
    ///
    /// Names the file and why it could not be written.
    pub fn write(&self, dir: &Path) -> Result<(), FormatError> {
        file::replace(&dir.join(LAUNCH_FILE), self)
    }
}

/// Replaces `bundle.json`, mode 0600.
///
/// # Errors
///
/// Names the file and why it could not be written.
pub fn write_bundle(dir: &Path, config: &impl Serialize) -> Result<(), FormatError> {
    file::replace(&dir.join(BUNDLE_FILE), config)
}
