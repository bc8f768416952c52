//! The mount points that every container has, as a layer below its image's.
//!
//! Without it crun makes those that the image lacks in each container's writable layer, on disk: a dozen
//! inodes a start, made and removed again. An image's own files lie above and win.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::StartError;
use super::rootfs::clear;

const FOLDERS: [&str; 5] = ["", "dev", "etc", "proc", "sys"];
const FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];
/// Written last: with it the layer is complete.
const LAST: &str = "etc/resolv.conf";

/// Makes the layer once a boot in `run_dir` and returns its folder. Any number may do so at a time.
pub(super) fn ensure(run_dir: &Path) -> Result<PathBuf, StartError> {
    let dir = run_dir.join("skeleton");
    if dir.join(LAST).exists() {
        return Ok(dir);
    }
    let partial = run_dir.join(format!("skeleton.{}", std::process::id()));
    clear(&partial)
        .and_then(|()| make(&partial))
        .and_then(|()| put(&partial, &dir))
        .map_err(StartError::io("make the mount points in", &dir))?;
    Ok(dir)
}

fn make(at: &Path) -> io::Result<()> {
    for folder in FOLDERS {
        DirBuilder::new().mode(0o755).create(at.join(folder))?;
    }
    for file in FILES {
        let path = at.join(file);
        drop(
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o644)
                .open(path)?,
        );
    }
    Ok(())
}

/// Renames the finished layer into place, unless another was faster.
fn put(partial: &Path, dir: &Path) -> io::Result<()> {
    match fs::rename(partial, dir) {
        Err(_) if dir.join(LAST).exists() => clear(partial),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_is_made_once_and_the_slower_maker_leaves_nothing() {
        let run = tempfile::tempdir().unwrap();
        let dir = ensure(run.path()).unwrap();
        for name in FOLDERS.iter().chain(&FILES) {
            assert!(dir.join(name).exists(), "{name}");
        }
        let slower = run.path().join("skeleton.1");
        make(&slower).unwrap();
        put(&slower, &dir).unwrap();
        assert!(!slower.exists() && dir.join(LAST).exists());
        assert_eq!(ensure(run.path()).unwrap(), dir);
    }

    #[test]
    fn a_layer_that_was_not_finished_is_made_again() {
        let run = tempfile::tempdir().unwrap();
        let own = run.path().join(format!("skeleton.{}", std::process::id()));
        fs::create_dir(&own).unwrap();
        assert!(ensure(run.path()).unwrap().join(LAST).exists());
        assert!(!own.exists());
    }
}
