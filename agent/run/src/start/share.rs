//! What the containers of a pod share, made by the first of them that starts.
//!
//! All of it lives in the pods' mount namespace under the pod's folder: pinned IPC and UTS
//! namespaces, `/dev/shm`, and a bounded scratch for the few files of `/etc` and the termination
//! messages, so that no container can fill the host's memory through them (CVE-2020-8557).

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;
use rustix::fs::{FlockOperation, flock};

use super::StartError;
use crate::launch::{Launch, PodShare};
use crate::mount_namespace::{is_mount_point, is_pinned};

const SHM_OPTIONS: &str = "mode=1777,size=64m";
const SCRATCH_OPTIONS: &str = "mode=0755,size=2m,nr_inodes=512";

/// Makes what is missing, one container of a pod at a time.
pub(super) fn prepare(launch: &Launch) -> Result<(), StartError> {
    let pod = &launch.pod;
    let lock_path = pod.dir.join("_lock");
    let lock = open(&lock_path, 0o600)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(StartError::io("lock", &lock_path))?;
    namespaces(pod)?;
    if pod.own_ipc {
        tmpfs(&pod.shm(), SHM_OPTIONS)?;
    }
    tmpfs(&pod.scratch(), SCRATCH_OPTIONS)?;
    etc_files(pod)?;
    let message = pod.termination_message(&launch.identity.container);
    // A new, empty one for each run, open to whichever user the container runs as.
    let file = open(&message, 0o666)?;
    file.set_len(0).map_err(StartError::io("empty", &message))?;
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o666))
        .map_err(StartError::io("open up", &message))
}

fn open(path: &Path, mode: u32) -> Result<fs::File, StartError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(mode)
        .open(path)
        .map_err(StartError::io("create", path))
}

/// Makes and pins the namespaces. This program is in new ones afterwards, which does not matter:
/// crun enters them by their pins.
fn namespaces(pod: &PodShare) -> Result<(), StartError> {
    let (ipc, uts) = (pod.ipc_namespace(), pod.uts_namespace());
    let folder = pod.dir.join("_ns");
    fs::create_dir_all(&folder).map_err(StartError::io("create", &folder))?;
    if pod.own_ipc && !is_pinned(&ipc) {
        unshare(CloneFlags::CLONE_NEWIPC).map_err(StartError::io("make the namespace for", &ipc))?;
        pin("/proc/self/ns/ipc", &ipc)?;
    }
    if let Some(hostname) = pod.hostname.as_ref().filter(|_| !is_pinned(&uts)) {
        unshare(CloneFlags::CLONE_NEWUTS).map_err(StartError::io("make the namespace for", &uts))?;
        sethostname(hostname).map_err(StartError::io("set the host name in", &uts))?;
        pin("/proc/self/ns/uts", &uts)?;
    }
    Ok(())
}

fn pin(namespace: &str, at: &Path) -> Result<(), StartError> {
    open(at, 0o600)?;
    mount(Some(namespace), at, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(StartError::io("pin", at))
}

fn tmpfs(at: &Path, options: &str) -> Result<(), StartError> {
    fs::create_dir_all(at).map_err(StartError::io("create", at))?;
    if is_mount_point(at) {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options))
        .map_err(StartError::io("mount a tmpfs at", at))
}

/// Copies the agent's files where they differ, in place: containers that run have them bound.
fn etc_files(pod: &PodShare) -> Result<(), StartError> {
    for file in &pod.etc {
        let target = pod.etc_file(&file.name);
        let wanted = fs::read(&file.source).map_err(StartError::io("read", &file.source))?;
        if fs::read(&target).is_ok_and(|present| present == wanted) {
            continue;
        }
        fs::write(&target, wanted).map_err(StartError::io("write", &target))?;
    }
    Ok(())
}
