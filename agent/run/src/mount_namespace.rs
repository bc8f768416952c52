//! The pods' mount namespace: pinned once, entered by whoever mounts for a pod.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns, unshare};
use nix::unistd::Pid;

use crate::IoError;

/// `f_type` of a namespace's file.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Where pods' network namespaces are pinned, as `ip netns` has it.
const NETWORK_NAMESPACES: &str = "/run/netns";

/// Why the namespace could not be pinned or entered.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// A file or folder of it.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is not pinned.
    #[error("{0} is no mount namespace; start floe-mounts.service, which pins it")]
    NotPinned(PathBuf),
    /// The processor cannot be used.
    #[error("make the pods' mount namespace on processor {0}")]
    Processor(usize),
    /// The thread that makes it ended early.
    #[error("make the pods' mount namespace: its thread ended early")]
    Thread,
}

/// Whether `path` pins a namespace.
#[must_use]
pub fn is_pinned(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|s| u64::try_from(s.f_type).is_ok_and(|kind| kind == NSFS_MAGIC))
}

/// Makes the pods' mount namespace and pins it at `<run_dir>/ns/mnt`; does nothing where it is pinned.
///
/// In it, the host's mounts arrive but none of its own leave, and `<run_dir>/pods` is private.
///
/// # Errors
///
/// Says which step the kernel refused.
pub fn pin(run_dir: &Path) -> Result<(), NamespaceError> {
    let folder = run_dir.join("ns");
    let pin = folder.join("mnt");
    if is_pinned(&pin) {
        return Ok(());
    }
    let pods = run_dir.join("pods");
    for dir in [&folder, &pods, &run_dir.join("crun")] {
        make_private_dir(dir)?;
    }
    // A mount namespace is refused on a mount that is passed on to others.
    if !is_mount_point(&folder) {
        bind(&folder, &folder)?;
    }
    let none = None::<&Path>;
    mount(none, &folder, none, MsFlags::MS_PRIVATE, none).map_err(IoError::at("make private", &folder))?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&pin)
        .map_err(IoError::at("create", &pin))?;

    share(Path::new(NETWORK_NAMESPACES))?;
    // From Linux 6.18 a new namespace may be numbered below the one this process lives in, and is then
    // refused as if it were its parent: numbers come in batches, one for each processor. One made on
    // the processor that made ours is always numbered above it, so each is tried.
    let tries = (0..processors()).map(|processor| pin_from(processor, &pods, &pin));
    last_unless_ok(tries)
}

/// Makes `folder` a mount in a peer group of its own, which the pods' mount namespace then receives from:
/// what is pinned in it later is seen there too, and as one line in the host's table.
fn share(folder: &Path) -> Result<(), NamespaceError> {
    fs::create_dir_all(folder).map_err(IoError::at("create", folder))?;
    if is_mount_point(folder) {
        return Ok(());
    }
    bind(folder, folder)?;
    let none = None::<&Path>;
    // Private first: a bind is a peer of the mount above it, and would pass everything on to it.
    for kind in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        mount(none, folder, none, kind, none).map_err(IoError::at("share", folder))?;
    }
    Ok(())
}

/// Numbers of processors to try, also those that are not there.
fn processors() -> usize {
    thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .max(CpuSet::count().min(64))
}

/// The first success, or the last error that is not about a processor that cannot be used.
fn last_unless_ok(tries: impl Iterator<Item = Result<(), NamespaceError>>) -> Result<(), NamespaceError> {
    let mut last = Err(NamespaceError::Thread);
    for outcome in tries {
        match outcome {
            Err(NamespaceError::Processor(_)) if !matches!(last, Err(NamespaceError::Thread)) => {}
            Ok(()) => return Ok(()),
            other => last = other,
        }
    }
    last
}

/// Makes a namespace on `processor` and pins it. A namespace cannot be pinned from within itself, so a
/// thread makes it and this one pins it.
fn pin_from(processor: usize, pods: &Path, pin: &Path) -> Result<(), NamespaceError> {
    let (made, wait_made) = sync_channel(1);
    let (pinned, wait_pinned) = sync_channel(1);
    let pods = pods.to_owned();
    let maker = thread::spawn(move || make(processor, &pods, &made, &wait_pinned));
    let result = match wait_made.recv() {
        Ok(Ok(thread_ns)) => bind(&thread_ns, pin).map_err(NamespaceError::from),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(NamespaceError::Thread),
    };
    // The thread may be gone already, after an error of its own.
    pinned.send(()).ok();
    maker.join().map_err(|_| NamespaceError::Thread)?;
    result
}

/// Moves this thread to `processor`.
fn move_to(processor: usize) -> Result<(), NamespaceError> {
    let refused = |_| NamespaceError::Processor(processor);
    let mut set = CpuSet::new();
    set.set(processor).map_err(refused)?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(refused)
}

/// Moves this thread to a new mount namespace, announces it, and stays until it is pinned.
fn make(
    processor: usize,
    pods: &Path,
    made: &SyncSender<Result<PathBuf, NamespaceError>>,
    pinned: &Receiver<()>,
) {
    let result = move_to(processor).and_then(|()| Ok(separate(pods)?)).map(|()| {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        PathBuf::from(format!("/proc/self/task/{thread}/ns/mnt"))
    });
    // A receiver that is gone has its own error to tell.
    drop(made.send(result));
    pinned.recv().ok();
}

fn separate(pods: &Path) -> Result<(), IoError> {
    let root = Path::new("/");
    let none = None::<&Path>;
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)
        .map_err(IoError::at("unshare the mounts of", root))?;
    mount(none, root, none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
        .map_err(IoError::at("make a slave of", root))?;
    bind(pods, pods)?;
    mount(none, pods, none, MsFlags::MS_PRIVATE, none).map_err(IoError::at("make private", pods))
}

fn bind(from: &Path, to: &Path) -> Result<(), IoError> {
    let none = None::<&Path>;
    mount(Some(from), to, none, MsFlags::MS_BIND, none).map_err(IoError::at("bind", to))
}

fn make_private_dir(dir: &Path) -> Result<(), IoError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(dir).map_err(IoError::at("create", dir))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(IoError::at("close to others", dir))
}

/// Whether something is mounted at `path`.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)
        .is_ok_and(|s| s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Moves this thread into the namespace pinned at `pin`. The thread stops sharing its working
/// directory with others, so this suits a thread made for it as well as a whole program.
///
/// # Errors
///
/// Says why it cannot be entered.
pub fn enter(pin: &Path) -> Result<(), NamespaceError> {
    if !is_pinned(pin) {
        return Err(NamespaceError::NotPinned(pin.to_owned()));
    }
    let file = File::open(pin).map_err(IoError::at("open", pin))?;
    unshare(CloneFlags::CLONE_FS).map_err(IoError::at("unshare the working directory for", pin))?;
    setns(file, CloneFlags::CLONE_NEWNS).map_err(IoError::at("enter", pin))?;
    Ok(())
}
