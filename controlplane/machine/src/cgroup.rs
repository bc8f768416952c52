//! A machine's own place in the host's cgroup trees.
//!
//! systemd-nspawn with `--keep-unit` divides the cgroup it is started in. Two machines started from
//! one cgroup would share a tree, so each gets a folder of its own: in the unified hierarchy, and in
//! systemd's named one where the host still has cgroup v1.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::MachineError;

const HIERARCHIES: [&str; 3] = [
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup",
];

const PATIENCE: Duration = Duration::from_secs(10);

/// The folders that `machine` has on this host, existing or not.
fn folders(machine: &str) -> Vec<PathBuf> {
    HIERARCHIES
        .iter()
        .map(Path::new)
        .filter(|root| root.join("cgroup.procs").exists())
        .map(|root| root.join(format!("floe-{machine}")))
        .collect()
}

/// Makes the folders and returns the files whose writer moves into them.
pub(crate) fn create(machine: &str) -> Result<Vec<PathBuf>, MachineError> {
    let folders = folders(machine);
    for folder in &folders {
        std::fs::create_dir_all(folder).map_err(MachineError::file("create cgroup", folder))?;
    }
    Ok(folders
        .into_iter()
        .map(|folder| folder.join("cgroup.procs"))
        .collect())
}

/// Removes the folders with all below them; processes must be gone.
pub(crate) fn remove(machine: &str) -> Result<(), MachineError> {
    folders(machine)
        .iter()
        .filter(|folder| folder.exists())
        .try_for_each(|folder| remove_tree(folder))
}

/// A cgroup folder is removed by `rmdir` alone: its files are the kernel's.
fn remove_tree(folder: &Path) -> Result<(), MachineError> {
    let entries = std::fs::read_dir(folder).map_err(MachineError::file("list cgroup", folder))?;
    for entry in entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        remove_tree(&entry.path())?;
    }
    remove_when_empty(folder).map_err(MachineError::file("remove cgroup", folder))
}

/// The kernel empties a cgroup a moment after its last process was reaped.
fn remove_when_empty(folder: &Path) -> std::io::Result<()> {
    let start = Instant::now();
    loop {
        match std::fs::remove_dir(folder) {
            Err(err) if err.kind() == ErrorKind::ResourceBusy && start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
            done => return done,
        }
    }
}
