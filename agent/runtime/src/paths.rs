//! Where things lie on a node.

use std::path::PathBuf;

/// The folders and programs of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePaths {
    /// Run time state, `/run/floe`.
    pub run_dir: PathBuf,
    /// Node state, `/var/lib/floe/agent`; never on an overlay.
    pub state_dir: PathBuf,
    /// The pinned `floe-run`.
    pub floe_run: PathBuf,
    /// The crun program.
    pub crun: PathBuf,
}

impl NodePaths {
    /// Run time folder of a pod: `/run/floe/pods/<uid>`. Entries beside the containers' own start
    /// with `_`, which no container name can.
    #[must_use]
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.run_dir.join("pods").join(uid)
    }

    /// Folder of a container's bundle and records: `/run/floe/pods/<uid>/<container>`.
    #[must_use]
    pub fn container_dir(&self, uid: &str, container: &str) -> PathBuf {
        self.pod_dir(uid).join(container)
    }

    /// Root of a volume in memory (configMap, secret, emptyDir of medium Memory):
    /// `/run/floe/pods/<uid>/_volumes/<name>`.
    #[must_use]
    pub fn memory_volume(&self, uid: &str, name: &str) -> PathBuf {
        self.pod_dir(uid).join("_volumes").join(name)
    }

    /// State of a pod on disk: `<state_dir>/pods/<uid>`.
    #[must_use]
    pub fn pod_state(&self, uid: &str) -> PathBuf {
        self.state_dir.join("pods").join(uid)
    }

    /// Root of a volume on disk: `<state_dir>/pods/<uid>/_volumes/<name>`.
    #[must_use]
    pub fn disk_volume(&self, uid: &str, name: &str) -> PathBuf {
        self.pod_state(uid).join("_volumes").join(name)
    }

    /// The container's writable layer: `<state_dir>/pods/<uid>/<container>`.
    #[must_use]
    pub fn writable_layer(&self, uid: &str, container: &str) -> PathBuf {
        self.pod_state(uid).join(container)
    }

    /// The pin of the pods' mount namespace.
    #[must_use]
    pub fn mount_namespace(&self) -> PathBuf {
        self.run_dir.join("ns").join("mnt")
    }

    /// crun's `--root`.
    #[must_use]
    pub fn crun_root(&self) -> PathBuf {
        self.run_dir.join("crun")
    }
}
