//! Volumes of a pod, made beneath a directory descriptor: config maps, secrets, downward API,
//! projected, emptyDir and hostPath.
//!
//! What a volume holds is decided by pure code ([`payload`]) from the API's objects; writing it is dumb
//! and atomic: all files of a volume change at once, by the swap of one symbolic link
//! (Kubernetes, "Volumes": `..data`).

mod error;
mod host_path;
mod payload;
mod swap;

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use agent_core::env::Sources;
use k8s_openapi::api::core::v1::{Pod, Volume};

pub use error::VolumeError;
pub use payload::{Payload, PayloadFile, payload};

/// Where the node keeps volumes: projected ones on the run-time tmpfs, `emptyDir` on the disk.
#[derive(Debug, Clone)]
pub struct Volumes {
    run_dir: PathBuf,
    state_dir: PathBuf,
}

impl Volumes {
    /// Volumes below `run_dir` (`/run/floe`, a tmpfs: secrets never reach a disk) and `state_dir`
    /// (`/var/lib/floe/agent`).
    #[must_use]
    pub fn new(run_dir: &Path, state_dir: &Path) -> Self {
        Self {
            run_dir: run_dir.to_owned(),
            state_dir: state_dir.to_owned(),
        }
    }

    /// Makes `volume` of the pod in `sources`, or brings it up to date, and returns the host path to
    /// mount; repeating it is harmless and changes nothing where nothing changed.
    ///
    /// # Errors
    ///
    /// When an object or key that is not optional is missing, a host path is not of its type, the kind
    /// of volume is not known, or the file system refuses. What was there before stays whole.
    pub fn prepare(&self, volume: &Volume, sources: &Sources<'_>) -> Result<PathBuf, VolumeError> {
        if let Some(host) = &volume.host_path {
            return host_path::prepare(&volume.name, host);
        }
        let uid = sources.pod.metadata.uid.as_deref().unwrap_or_default();
        let group = fs_group(sources.pod);
        if volume.empty_dir.is_some() {
            return self.empty_dir(uid, &volume.name, group);
        }
        let files = payload(volume, sources)?;
        let target = self.projected_path(uid, &volume.name);
        make_dir(&target, 0o755)?;
        swap::write(&target, &files, group).map_err(|source| VolumeError::Write {
            volume: volume.name.clone(),
            path: target.clone(),
            source,
        })?;
        Ok(target)
    }

    /// Where the projected volume `name` of the pod `uid` lies.
    #[must_use]
    pub fn projected_path(&self, uid: &str, name: &str) -> PathBuf {
        self.run_dir.join("pods").join(uid).join("_volumes").join(name)
    }

    /// Where the disk-backed `emptyDir` `name` of the pod `uid` lies.
    #[must_use]
    pub fn empty_dir_path(&self, uid: &str, name: &str) -> PathBuf {
        self.state_dir.join("pods").join(uid).join("_volumes").join(name)
    }

    /// An `emptyDir` is open to every user of the pod, as Kubernetes makes it; the pod's own folder
    /// above it is not.
    fn empty_dir(&self, uid: &str, name: &str, group: Option<u32>) -> Result<PathBuf, VolumeError> {
        let target = self.empty_dir_path(uid, name);
        if target.is_dir() {
            return Ok(target);
        }
        make_dir(&target, 0o777)?;
        let mode = if group.is_some() { 0o2777 } else { 0o777 };
        let opened = chown(&target, None, group)
            .and_then(|()| std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)));
        opened.map_err(|source| VolumeError::Write {
            volume: name.to_owned(),
            path: target.clone(),
            source,
        })?;
        Ok(target)
    }
}

/// The group that a pod's volumes are for, where it names one.
#[must_use]
pub fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// Makes `path` with `mode`; the folders above it are root's alone.
fn make_dir(path: &Path, mode: u32) -> Result<(), VolumeError> {
    let parent = path.parent().unwrap_or(path);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.and_then(|()| DirBuilder::new().recursive(true).mode(mode).create(path))
        .map_err(|source| VolumeError::Folder {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests;
