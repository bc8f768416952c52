//! The process namespace that the containers of a pod share (`shareProcessNamespace`).
//!
//! It lives as long as its first process, which is what Kubernetes calls the pause process: a unit of its own in the pod's
//! slice, so that no container's end is the end of the others. It reaps what they leave behind, and is a poor place to break
//! into: an empty root, nobody's user, no capability, no network, a program that cannot be written.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Gid, Uid, chdir, pivot_root, setgroups, setresgid, setresuid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags};
use rustix::process::{DumpableBehavior, WaitOptions, set_dumpable_behavior, wait};

use crate::IoError;
use crate::file::replace_bytes;
use crate::launch::{PID_FILE, PodShare};
use crate::mount_namespace::{self, NamespaceError};

/// How the first process of a pod calls itself, as in every Kubernetes.
pub const FIRST_PROCESS: &str = "/pause";

/// What the first process says once nothing of the node is within its reach.
const READY: &str = "ready\n";

/// Whose the first process is: nobody's, as the pause image has it.
const NOBODY: u32 = 65535;

/// In `/proc/<pid>/stat`: the process is on its way out.
const EXITING: u64 = 4;

/// How long a container waits for a namespace that is being made anew.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the containers of a pod have no process namespace in common.
#[derive(Debug, thiserror::Error)]
pub enum ProcessesError {
    /// The pods' mount namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A step of the file system or the kernel.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The first process did not come up.
    #[error("start the first process of the pod in {path}: {said}")]
    First {
        /// The pod's folder.
        path: PathBuf,
        /// What it said.
        said: String,
    },
    /// There is none, or it has ended.
    #[error(
        "the process namespace of the pod in {0} has ended; its unit, which ends in `:_processes`, makes it anew"
    )]
    Ended(PathBuf),
}

/// Makes a process namespace for the pod whose folder is `dir`, starts its first process and pins it in the pods' mount
/// namespace `mounts`. The namespace that was there before has ended.
///
/// # Errors
///
/// Says which step failed.
pub fn share_processes(dir: &Path, mounts: &Path) -> Result<(), ProcessesError> {
    mount_namespace::enter(mounts)?;
    let pod = PodShare::of(dir);
    let (folder, pin) = (pod.processes(), pod.process_namespace());
    for path in [&folder, &folder.join("root"), &dir.join("_ns")] {
        fs::create_dir_all(path).map_err(IoError::at("create", path))?;
    }
    // What a container could reach of the first process is not to be written by way of it.
    let program = read_only_program(&folder.join("pause"))?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(IoError::at("make a process namespace for", dir))?;
    let begun = begin(&program, &folder.join("root"));
    // A process keeps the mount that its program came from.
    umount2(&program, MntFlags::MNT_DETACH).map_err(IoError::at("unmount", &program))?;
    let (number, said) = begun.map_err(IoError::at("run", &program))?;
    if said != READY {
        let path = dir.to_owned();
        return Err(ProcessesError::First { path, said });
    }
    if mount_namespace::is_pinned(&pin) {
        umount2(&pin, MntFlags::MNT_DETACH).map_err(IoError::at("unpin", &pin))?;
    }
    File::create(&pin).map_err(IoError::at("create", &pin))?;
    let namespace = PathBuf::from(format!("/proc/{number}/ns/pid"));
    bind(&namespace, &pin)?;
    let file = folder.join(PID_FILE);
    replace_bytes(&file, format!("{number}\n").as_bytes()).map_err(IoError::at("write", &file))?;
    Ok(())
}

fn bind(from: &Path, to: &Path) -> Result<(), IoError> {
    let none = None::<&Path>;
    mount(Some(from), to, none, MsFlags::MS_BIND, none).map_err(IoError::at("bind", to))
}

/// This program at `at`, on a mount that refuses writes.
fn read_only_program(at: &Path) -> Result<PathBuf, IoError> {
    let own = std::env::current_exe().map_err(IoError::at("find", Path::new("/proc/self/exe")))?;
    File::create(at).map_err(IoError::at("create", at))?;
    bind(&own, at)?;
    let none = None::<&Path>;
    let flags =
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(none, at, none, flags, none).map_err(IoError::at("make read-only", at))?;
    Ok(at.to_owned())
}

/// Starts the first process, and waits for what it says: all until it has let go of everything.
fn begin(program: &Path, root: &Path) -> io::Result<(u32, String)> {
    let mut first = Command::new(program)
        .arg0(FIRST_PROCESS)
        .env_clear()
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut said = String::new();
    if let Some(mut stdout) = first.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    Ok((first.id(), said))
}

/// The life of the first process: it lets go of all that is the node's, then reaps until it is told to end from outside
/// of its namespace. Its working directory becomes its empty root.
///
/// # Errors
///
/// Where it could not let go; said on stdout, too, where somebody waits for it.
pub fn reap() -> io::Result<()> {
    let alone = let_go();
    let null = alone.as_ref().map_err(ToString::to_string);
    let mut stdout = io::stdout();
    match &null {
        Ok(_) => stdout.write_all(READY.as_bytes())?,
        Err(said) => stdout.write_all(said.as_bytes())?,
    }
    stdout.flush()?;
    let (null, signals) = alone?;
    rustix::stdio::dup2_stdout(&null)?;
    loop {
        // Whom the namespace cannot see has no number in it: only the node's own are obeyed.
        let told = signals
            .read_signal()?
            .is_some_and(|signal| is_end(signal.ssi_signo) && signal.ssi_pid == 0);
        if told {
            return Ok(());
        }
        while let Ok(Some(_)) | Err(rustix::io::Errno::INTR) = wait(WaitOptions::NOHANG) {}
    }
}

fn is_end(number: u32) -> bool {
    [Signal::SIGTERM, Signal::SIGINT]
        .iter()
        .any(|end| u32::try_from(*end as i32) == Ok(number))
}

fn let_go() -> io::Result<(File, SignalFd)> {
    let all = SigSet::all();
    all.thread_block()?;
    let signals = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let own = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNET;
    unshare(own)?;
    empty_root()?;
    setgroups(&[])?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setresgid(group, group, group)?;
    // With the user go all capabilities.
    setresuid(user, user, user)?;
    rustix::thread::set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok((null, signals))
}

/// Makes the working directory an empty root that cannot be written.
fn empty_root() -> io::Result<()> {
    let (root, none) = (std::env::current_dir()?, None::<&Path>);
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount(
        Some("tmpfs"),
        &root,
        Some("tmpfs"),
        flags,
        Some("size=4k,nr_inodes=2,mode=0555"),
    )?;
    chdir(&root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    Ok(chdir("/")?)
}

/// Returns once the pod's process namespace is there and lives. systemd starts its unit before those of containers; one
/// that ends takes them along, and they may be back before it is.
///
/// # Errors
///
/// Where it is not made anew in time.
pub(crate) fn wait_for_processes(pod: &PodShare) -> Result<(), ProcessesError> {
    let folder = pod.processes();
    let failed = |error: rustix::io::Errno| IoError::at("watch", &folder)(error);
    // Watched before it is looked at, so that nothing is missed.
    let changes = rustix::fs::inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?;
    rustix::fs::inotify::add_watch(&changes, &folder, WatchFlags::MOVED_TO).map_err(failed)?;
    let deadline = Instant::now() + PATIENCE;
    while !lives(pod) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ProcessesError::Ended(pod.dir.clone()));
        }
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&changes, PollFlags::IN)], timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error).into()),
        }
        let mut events = [std::mem::MaybeUninit::uninit(); 1024];
        while rustix::io::read(&changes, &mut events).is_ok() {}
    }
    Ok(())
}

/// Whether the pinned namespace is that of the first process, and takes in others.
fn lives(pod: &PodShare) -> bool {
    let Ok(number) = fs::read_to_string(pod.processes().join(PID_FILE)) else {
        return false;
    };
    let process = Path::new("/proc").join(number.trim());
    let inode = |path: &Path| fs::metadata(path).map(|meta| meta.ino()).ok();
    let same = inode(&process.join("ns/pid")).is_some_and(|own| inode(&pod.process_namespace()) == Some(own));
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    same && flags(&stat).is_some_and(|flags| flags & EXITING == 0)
}

/// The kernel's flags of a process, the seventh field after its name; proc_pid_stat(5).
fn flags(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_process_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194564 99 0";
        assert_eq!(flags(stat), Some(4_194_564));
        assert_eq!(4_194_564 & EXITING, 4, "and it is on its way out");
        assert_eq!(flags("nothing"), None);
    }

    #[test]
    fn a_pod_without_a_first_process_has_no_namespace_that_lives() {
        let dir = tempfile::tempdir().unwrap();
        let pod = PodShare::of(dir.path());
        assert!(!lives(&pod));
        fs::create_dir_all(pod.processes()).unwrap();
        // This very process lives, but nothing pins its namespace there.
        fs::write(pod.processes().join(PID_FILE), std::process::id().to_string()).unwrap();
        assert!(!lives(&pod));
    }
}
