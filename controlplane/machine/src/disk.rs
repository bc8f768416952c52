//! A machine's files: the writable layer over a cached root, and the folders that must not be one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::MachineError;

/// Takes the lock file `path`, waiting for whoever holds it; it is free again when the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File, MachineError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(MachineError::file("open", path))?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|err| MachineError::file("lock", path)(err.into()))?;
    Ok(file)
}

/// Removes `path` with all below it; does nothing where it is absent.
pub(crate) fn remove_tree(path: &Path) -> Result<(), MachineError> {
    match std::fs::remove_dir_all(path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(MachineError::file("remove", path)(err))
        }
        _ => Ok(()),
    }
}

/// The folders of one machine below its own directory.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    dir: PathBuf,
}

impl Disk {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The merged root that the machine sees.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// `/var/lib/floe` of the machine: a real folder, since upper layers of pods cannot lie on an overlay.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("var-lib-floe")
    }

    /// What the machine's console printed.
    pub(crate) fn console(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// Makes the folders and mounts the writable layer over `lower`; repeating it is harmless.
    pub(crate) fn mount(&self, lower: &Path) -> Result<(), MachineError> {
        let (upper, work) = (self.dir.join("upper"), self.dir.join("work"));
        for folder in [&self.dir, &upper, &work, &self.root(), &self.state()] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(MachineError::file("create", folder))?;
        }
        // The layer's own mode is the root directory's inside.
        set_mode(&upper, 0o755)?;
        if self.mounted() {
            return Ok(());
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let target = self.root();
        let options = std::ffi::CString::new(options)
            .map_err(|err| MachineError::file("mount", &target)(err.into()))?;
        mount(
            "overlay",
            &target,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .map_err(|err| MachineError::file("mount an overlay on", &target)(err.into()))
    }

    /// Whether the merged root is mounted.
    pub(crate) fn mounted(&self) -> bool {
        let target = self.root();
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        table
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .any(|path| Path::new(path) == target)
    }

    /// Unmounts the merged root; does nothing where it is not mounted.
    pub(crate) fn unmount(&self) -> Result<(), MachineError> {
        while self.mounted() {
            let target = self.root();
            unmount(&target, UnmountFlags::empty())
                .map_err(|err| MachineError::file("unmount", &target)(err.into()))?;
        }
        Ok(())
    }

    /// Removes every file of the machine, but for its state where `keep_state` says so.
    pub(crate) fn remove(&self, keep: Keep) -> Result<(), MachineError> {
        match keep {
            Keep::Nothing => remove_tree(&self.dir),
            Keep::State => ["upper", "work", "root"]
                .iter()
                .try_for_each(|name| remove_tree(&self.dir.join(name))),
        }
    }
}

/// What is left of a machine's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    State,
}

/// Writes `contents` to `path` with `mode`, making the folders above it.
pub(crate) fn write_file(path: &Path, contents: &[u8], mode: u32) -> Result<(), MachineError> {
    clear_way(path)?;
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(path)
        .map_err(MachineError::file("create", path))?;
    std::io::Write::write_all(&mut file, contents).map_err(MachineError::file("write", path))?;
    set_mode(path, mode)
}

/// Makes the folders above `path` and removes a file that is there.
pub(crate) fn clear_way(path: &Path) -> Result<(), MachineError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(MachineError::file("create", parent))?;
    }
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(MachineError::file("replace", path)(err))
        }
        _ => Ok(()),
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), MachineError> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(MachineError::file("set the mode of", path))
}
