//! What the agent must remember of a pod across its own restart: `/run/floe/pods/<uid>/_pod.json`.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use agent_core::resize::Allocation;
use agent_core::{Failure, Sandbox};
use agent_runtime::NodePaths;
use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

const FILE: &str = "_pod.json";

/// A pod that has a sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The pod as last seen.
    pub(super) pod: Pod,
    /// When the agent accepted it.
    pub(super) accepted_at: Timestamp,
    /// Its network namespace; none on the node's network.
    pub(super) netns: Option<PathBuf>,
    /// Its addresses; none where the sandbox was never finished.
    pub(super) pod_ips: Vec<IpAddr>,
    /// What its containers are promised; empty from an agent that resized none.
    #[serde(default)]
    pub(super) allocated: Allocation,
    /// What their units have.
    #[serde(default)]
    pub(super) applied: Allocation,
}

/// Makes the pod's folder and returns it.
pub(super) fn pod_dir(paths: &NodePaths, uid: &str) -> anyhow::Result<PathBuf> {
    let dir = paths.pod_dir(uid);
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(&dir);
    made.with_context(|| format!("make the pod's folder {}", dir.display()))?;
    Ok(dir)
}

/// Replaces `path` with `bytes`, mode 0600, by rename.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut open = std::fs::OpenOptions::new();
        let mut file = open
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&fresh)?;
        file.write_all(bytes)?;
        std::fs::rename(&fresh, path)
    };
    // Half a file would keep the space that others need.
    let written = write().inspect_err(|_| drop(std::fs::remove_file(&fresh)));
    written.with_context(|| format!("write {}", path.display()))
}

impl Checkpoint {
    /// The sandbox as it was left: to be made again where it was not finished.
    pub(super) fn sandbox(&self) -> Sandbox {
        if !self.pod_ips.is_empty() {
            return Sandbox::Ready {
                pod_ips: self.pod_ips.clone(),
            };
        }
        let now = crate::clock::now();
        Sandbox::Failed(Failure {
            reason: "FailedCreatePodSandBox".to_owned(),
            message: "the agent was interrupted while it made the sandbox".to_owned(),
            failed_at: now,
            retry_at: now,
        })
    }

    /// Keeps it.
    pub(super) fn write(&self, paths: &NodePaths, uid: &str) -> anyhow::Result<()> {
        let dir = pod_dir(paths, uid)?;
        replace(&dir.join(FILE), &serde_json::to_vec(self)?, 0o600)
    }

    /// Every pod that an earlier agent left. A damaged file is skipped with a warning: its units are
    /// found again once the API names the pod.
    pub(super) fn all(paths: &NodePaths) -> Vec<Self> {
        let entries = std::fs::read_dir(paths.run_dir.join("pods"))
            .into_iter()
            .flatten()
            .flatten();
        let read = entries.filter_map(|entry| {
            let path = entry.path().join(FILE);
            let bytes = std::fs::read(&path).ok()?;
            let parsed = serde_json::from_slice(&bytes);
            if let Err(error) = &parsed {
                tracing::warn!(error = %error, path = %path.display(), "checkpoint skipped");
            }
            parsed.ok()
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_found_after_a_restart_and_a_damaged_one_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let paths = NodePaths {
            run_dir: dir.path().to_owned(),
            state_dir: dir.path().join("state"),
            floe_run: PathBuf::new(),
            crun: PathBuf::new(),
        };
        let checkpoint = Checkpoint {
            pod: Pod::default(),
            accepted_at: Timestamp::UNIX_EPOCH,
            netns: None,
            pod_ips: vec!["10.42.0.2".parse().unwrap()],
            allocated: Allocation::new(),
            applied: Allocation::new(),
        };
        checkpoint.write(&paths, "a").unwrap();
        std::fs::write(pod_dir(&paths, "b").unwrap().join(FILE), "{").unwrap();
        let found = Checkpoint::all(&paths);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].pod_ips, checkpoint.pod_ips);
    }
}
