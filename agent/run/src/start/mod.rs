//! `floe-run start`: everything before crun.

mod capabilities;
mod config;
mod devices;
pub(crate) mod journal;
mod passwd;
mod rootfs;
mod seccomp;
mod share;
mod skeleton;
mod sub_path;

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;

use nix::sched::{CloneFlags, unshare};

use crate::attach::ATTACH_SOCKET;
use crate::by_name::{self, Fifos};
use crate::clock::now;
use crate::file::replace_bytes;
use crate::launch::{CONFIG_FILE, ERROR_FILE, LAUNCH_VERSION, Launch, PID_FILE, ROOTFS_DIR};
use crate::mount_namespace::{self, NamespaceError};
use crate::processes::{ProcessesError, wait_for_processes};
use crate::{FormatError, Held, IoError, Phase, State, hold, recover};

/// Why a container was not handed to crun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One of its files.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// There is no launch description.
    #[error("{0} holds no launch.json; the agent writes it before the unit")]
    NoLaunch(PathBuf),
    /// Made by another version.
    #[error("launch.json of {path} has version {found}, this floe-run reads {LAUNCH_VERSION}")]
    Version {
        /// The container's directory.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// The pods' mount namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The process namespace of the pod.
    #[error(transparent)]
    Processes(#[from] ProcessesError),
    /// A step of the file system or the kernel.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The image does not know the user.
    #[error("user {0:?} is not in the image's /etc/passwd")]
    NoUser(String),
    /// The image does not know the group.
    #[error("group {0:?} is not in the image's /etc/group")]
    NoGroup(String),
    /// More layers than an overlay's options can name.
    #[error("mount the root file system: {0} layers are more than one mount can name; squash the image")]
    TooManyLayers(usize),
}

impl StartError {
    /// A closure that wraps what the system said about `verb` on `path`.
    fn io<E: Into<io::Error>>(verb: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let failed = IoError::at(verb, path);
        move |source| Self::Io(failed(source))
    }
}

/// Waits the back-off, builds the container's mounts, opens its journal streams and becomes
/// `crun create`. SIGTERM during the wait ends the program at once: it has no handler. Where the
/// container's streams are held, this program holds them and comes back with its exit code.
///
/// # Errors
///
/// Says which step failed; the same text is left in [`ERROR_FILE`] for the record.
pub fn run(dir: &Path, invocation_id: &str) -> Result<u8, StartError> {
    let result = prepare(dir, invocation_id).and_then(|(launch, fifos)| match launch.held {
        Some(held) => hold(dir, &launch, held),
        None => Err(become_crun(dir, &launch, fifos.as_ref())),
    });
    if let Err(error) = &result {
        // The record will say less, and the journal has it all the same.
        drop(replace_bytes(&dir.join(ERROR_FILE), chain(error).as_bytes()));
    }
    result
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn prepare(dir: &Path, invocation_id: &str) -> Result<(Launch, Option<Fifos>), StartError> {
    let launch = Launch::read(dir)?.ok_or_else(|| StartError::NoLaunch(dir.to_owned()))?;
    if launch.version != LAUNCH_VERSION {
        return Err(StartError::Version {
            path: dir.to_owned(),
            found: launch.version,
        });
    }
    wait_back_off(dir, &launch, invocation_id)?;
    forget_last_run(dir, &launch)?;

    mount_namespace::enter(&launch.mount_namespace)?;
    if launch.pod.shared_processes {
        wait_for_processes(&launch.pod)?;
    }
    share::prepare(&launch)?;
    // From here on every mount is this container's own and goes with it.
    unshare(CloneFlags::CLONE_NEWNS).map_err(StartError::io("copy the pods' mounts for", dir))?;
    let rootfs = dir.join(ROOTFS_DIR);
    rootfs::mount(&launch.rootfs, launch.run_dir(), &rootfs)?;
    launch.sub_paths.iter().try_for_each(sub_path::bind)?;
    let fifos = fifos(&launch, &rootfs)?;
    config::write(dir, &launch, &rootfs, fifos.as_ref())?;
    Ok((launch, fifos))
}

/// `/dev/stdout` and `/dev/stderr` as files, where the image needs them.
fn fifos(launch: &Launch, rootfs: &Path) -> Result<Option<Fifos>, StartError> {
    // Held streams are pipes or a terminal, which have names that can be opened.
    if launch.held.is_some() || !by_name::wanted(rootfs) {
        return Ok(None);
    }
    let scratch = launch.pod.scratch();
    let made = Fifos::make(&scratch, &launch.identity.container);
    made.map(Some).map_err(StartError::io("make FIFOs in", &scratch))
}

/// Says in the state file what happens, and waits. Damaged records must not hold a container back.
fn wait_back_off(dir: &Path, launch: &Launch, invocation_id: &str) -> Result<(), StartError> {
    let records = recover(dir);
    let say = |phase| {
        State {
            invocation_id: invocation_id.to_owned(),
            restart: records.total,
            phase,
        }
        .write(dir)
    };
    let wait = launch.back_off.remaining(&records, now());
    if !wait.is_zero() {
        let until = now().saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
        say(Phase::Waiting { until })?;
        sleep(wait);
    }
    Ok(say(Phase::Started { at: now() })?)
}

/// Removes what a run that was not recorded may have left.
fn forget_last_run(dir: &Path, launch: &Launch) -> Result<(), StartError> {
    let crun_state = launch.crun_root.join(&launch.container_id);
    let files = [PID_FILE, ERROR_FILE, ATTACH_SOCKET].map(|name| dir.join(name));
    for stale in files.into_iter().chain([crun_state]) {
        let removed = match fs::symlink_metadata(&stale) {
            Ok(facts) if facts.is_dir() => fs::remove_dir_all(&stale),
            Ok(_) => fs::remove_file(&stale),
            Err(e) => Err(e),
        };
        match removed {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(StartError::io("remove", &stale)(e)),
            _ => {}
        }
    }
    Ok(())
}

/// Stays, with `crun create` as a child.
fn hold(dir: &Path, launch: &Launch, held: Held) -> Result<u8, StartError> {
    let task = hold::Task {
        dir,
        identity: &launch.identity,
        held,
        create: crun_create(dir, launch),
        container_id: &launch.container_id,
    };
    hold::run(task).map_err(StartError::io("hold the streams of", dir))
}

/// Replaces this program by `crun create`, whose stdout and stderr are the container's.
fn become_crun(dir: &Path, launch: &Launch, fifos: Option<&Fifos>) -> StartError {
    let ready = journal::open(&launch.identity).and_then(|()| {
        fifos
            .map_or(Ok(()), Fifos::copy)
            .map_err(StartError::io("start the copying process for", dir))
    });
    if let Err(error) = ready {
        return error;
    }
    let error = crun_create(dir, launch).arg(&launch.container_id).exec();
    StartError::io("execute", &launch.crun)(error)
}

/// `crun create` up to its last argument, the container's id.
fn crun_create(dir: &Path, launch: &Launch) -> Command {
    let mut command = Command::new(&launch.crun);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin")
        .current_dir("/")
        .arg("--cgroup-manager=disabled")
        .arg("--root")
        .arg(&launch.crun_root)
        .arg("--log")
        .arg(dir.join(ERROR_FILE))
        .arg("--log-format=json")
        .arg("create")
        .arg("--bundle")
        .arg(dir)
        .arg("--config")
        .arg(dir.join(CONFIG_FILE))
        .arg("--pid-file")
        .arg(dir.join(PID_FILE));
    command
}
