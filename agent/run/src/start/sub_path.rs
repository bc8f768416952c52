//! Parts of volumes, resolved beneath the volume (CVE-2017-1002101, CVE-2021-25741).

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};

use nix::mount::{MsFlags, mount};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2};
use rustix::io::Errno;

use super::StartError;
use crate::launch::SubPath;

/// Binds the part to its target. What is absent is made as a folder.
pub(super) fn bind(part: &SubPath) -> Result<(), StartError> {
    let found = open(part)?;
    let facts = fstat(&found).map_err(StartError::io("look at", &part.path))?;
    make_target(
        &part.target,
        FileType::from_raw_mode(facts.st_mode) == FileType::Directory,
    )?;
    // The descriptor, not the path: nobody can swap a link in between.
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(
        Some(source.as_str()),
        &part.target,
        None::<&str>,
        flags,
        None::<&str>,
    )
    .map_err(StartError::io("bind the volume's part", &part.path))
}

fn open(part: &SubPath) -> Result<OwnedFd, StartError> {
    let volume = openat(CWD, &part.volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(StartError::io("open", &part.volume))?;
    match beneath(&volume, &part.path) {
        Err(Errno::NOENT) => make(volume, &part.path).map_err(StartError::io("create", &part.path)),
        other => other.map_err(StartError::io("open beneath its volume", &part.path)),
    }
}

fn beneath(volume: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(
        volume,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )
}

/// Makes the folders of `path` that are missing, each beneath the one before.
fn make(volume: OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let mut reached = volume;
    for component in path.components() {
        let Component::Normal(name) = component else {
            return Err(Errno::INVAL);
        };
        let next = Path::new(name);
        match mkdirat(&reached, next, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        reached = beneath(&reached, next)?;
    }
    Ok(reached)
}

fn make_target(target: &Path, folder: bool) -> Result<(), StartError> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(StartError::io("create", parent))?;
    }
    if folder {
        fs::create_dir_all(target).map_err(StartError::io("create", target))
    } else {
        let made = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(target);
        made.map(drop).map_err(StartError::io("create", target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(volume: &Path, path: &str) -> SubPath {
        SubPath {
            volume: volume.into(),
            path: path.into(),
            target: "/nowhere".into(),
        }
    }

    #[test]
    fn a_missing_part_is_made_within_the_volume() {
        let volume = tempfile::tempdir().unwrap();
        open(&part(volume.path(), "a/b")).unwrap();
        assert!(volume.path().join("a/b").is_dir());
    }

    #[test]
    fn no_link_and_no_dots_lead_out_of_the_volume() {
        let volume = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", volume.path().join("out")).unwrap();
        std::os::unix::fs::symlink("..", volume.path().join("up")).unwrap();
        for path in ["out/etc", "up/etc", "../etc", "/etc", "out"] {
            assert!(
                open(&part(volume.path(), path)).is_err(),
                "{path} left the volume"
            );
        }
    }

    #[test]
    fn links_within_the_volume_are_followed() {
        let volume = tempfile::tempdir().unwrap();
        std::fs::create_dir(volume.path().join("..2026")).unwrap();
        std::fs::write(volume.path().join("..2026/key"), "v").unwrap();
        std::os::unix::fs::symlink("..2026", volume.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/key", volume.path().join("key")).unwrap();
        open(&part(volume.path(), "key")).unwrap();
    }
}
