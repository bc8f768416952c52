//! Volumes in memory and the removal of a pod's folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agent_run::{IoError, mount_namespace};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tokio::sync::oneshot;

use crate::NodePaths;

/// Why a mount or removal failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The pods' mount namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] mount_namespace::NamespaceError),
    /// A step was refused.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The thread that was to do it ended early: a bug.
    #[error("the mounting thread ended early")]
    Thread,
}

/// Mounts a tmpfs of at most `bytes` at `path` in the pods' mount namespace, open to everybody and, where there is a
/// `group`, that one's with all that is made in it; does nothing where one is.
///
/// # Errors
///
/// Says what the kernel refused.
pub async fn tmpfs(
    paths: &NodePaths,
    path: &Path,
    bytes: Option<u64>,
    group: Option<u32>,
) -> Result<(), MountError> {
    let path = path.to_owned();
    inside(paths, move || {
        fs::create_dir_all(&path).map_err(IoError::at("create", &path))?;
        if mount_points_beneath(&path)?.contains(&path) {
            return Ok(());
        }
        let size = bytes.map(|b| format!(",size={b}")).unwrap_or_default();
        let mode = group.map_or_else(|| "mode=0777".to_owned(), |gid| format!("mode=2777,gid={gid}"));
        let options = format!("{mode}{size}");
        mount(
            Some("tmpfs"),
            &path,
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            Some(options.as_str()),
        )
        .map_err(IoError::at("mount a tmpfs at", &path))?;
        Ok(())
    })
    .await
}

/// Unmounts all of the pod's mounts and removes its folders under `/run` and in the node state.
/// Its containers must have ended. Repeating it is harmless.
///
/// # Errors
///
/// The first refusal; everything else was tried nevertheless.
pub async fn remove_pod(paths: &NodePaths, uid: &str) -> Result<(), MountError> {
    let run = paths.pod_dir(uid);
    let state = paths.pod_state(uid);
    let crun = crun_states(&paths.crun_root(), uid);
    let mounted = run.clone();
    let unmounted = inside(paths, move || Ok(unmount_beneath(&mounted)?)).await;
    let removed = blocking(move || {
        // Links are removed, never followed; nothing is mounted here on the host's side.
        let results = [run, state]
            .into_iter()
            .chain(crun)
            .map(|dir| match fs::remove_dir_all(&dir) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(IoError::at("remove", &dir)(e).into()),
                _ => Ok(()),
            });
        let results: Vec<Result<(), MountError>> = results.collect();
        results.into_iter().collect()
    })
    .await;
    unmounted.and(removed)
}

/// What crun still remembers of the pod's containers: a `crun delete` that was killed left it.
fn crun_states(root: &Path, uid: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let of_pod = |name: &std::ffi::OsStr| {
        let name = name.to_str().and_then(|name| name.strip_prefix(uid));
        name.is_some_and(|rest| rest.starts_with('-'))
    };
    let states = entries.filter(|entry| of_pod(&entry.file_name()));
    states.map(|entry| entry.path()).collect()
}

fn unmount_beneath(dir: &Path) -> Result<(), IoError> {
    let mut result = Ok(());
    for point in mount_points_beneath(dir)?.into_iter().rev() {
        let done = umount2(&point, MntFlags::MNT_DETACH).map_err(IoError::at("unmount", &point));
        result = result.and(done);
    }
    result
}

/// Mount points at or under `dir` in this thread's mount namespace, parents first.
fn mount_points_beneath(dir: &Path) -> Result<Vec<PathBuf>, IoError> {
    let table = Path::new("/proc/thread-self/mountinfo");
    let text = fs::read_to_string(table).map_err(IoError::at("read", table))?;
    let point = |line: &str| line.split(' ').nth(4).map(PathBuf::from);
    Ok(text
        .lines()
        .filter_map(point)
        .filter(|p| p.starts_with(dir))
        .collect())
}

/// Runs `work` on a thread of its own that entered the pods' mount namespace and ends with it.
async fn inside<F>(paths: &NodePaths, work: F) -> Result<(), MountError>
where
    F: FnOnce() -> Result<(), MountError> + Send + 'static,
{
    let pin = paths.mount_namespace();
    blocking(move || {
        mount_namespace::enter(&pin)?;
        work()
    })
    .await
}

/// Runs `work` on a thread of its own: one that changed its namespace must not serve others.
async fn blocking<F>(work: F) -> Result<(), MountError>
where
    F: FnOnce() -> Result<(), MountError> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // The asker may have gone; the work is done all the same.
        drop(sender.send(work()));
    });
    receiver.await.unwrap_or(Err(MountError::Thread))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_crun_remembers_of_a_pod_is_found_by_its_uid_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["u1-main", "u1-side-car", "u12-main", "u2-u1-x"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut found = crun_states(dir.path(), "u1");
        found.sort();
        assert_eq!(
            found,
            ["u1-main", "u1-side-car"].map(|name| dir.path().join(name))
        );
        assert!(crun_states(Path::new("/no/such/folder"), "u1").is_empty());
    }
}
