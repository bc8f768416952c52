//! The root file system: the image's layers below, a fresh writable one above.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount as mount_at};

use super::{StartError, skeleton};
use crate::launch::Rootfs;

/// Longest option text the kernel takes is a page; this leaves room for the rest.
const MAX_OPTIONS: usize = 4000;

/// Mounts it at `target`, over the mount points kept in `run_dir`. The writable layer of the last run is
/// removed first.
pub(super) fn mount(spec: &Rootfs, run_dir: &Path, target: &Path) -> Result<(), StartError> {
    clear(&spec.writable).map_err(StartError::io(
        "remove the last writable layer in",
        &spec.writable,
    ))?;
    for name in ["upper", "work"] {
        let dir = spec.writable.join(name);
        fs::create_dir_all(&dir).map_err(StartError::io("create", &dir))?;
    }
    fs::create_dir_all(target).map_err(StartError::io("create", target))?;
    let skeleton = skeleton::ensure(run_dir)?;
    let (base, lower) = lower(spec, &skeleton);
    // Relative names keep the options short.
    std::env::set_current_dir(&base).map_err(StartError::io("enter", &base))?;
    let (upper, work) = (spec.writable.join("upper"), spec.writable.join("work"));
    // Volatile: the layer never outlives its run, so nothing of it needs to reach the disk.
    let options = format!(
        "lowerdir={lower},upperdir={},workdir={},volatile",
        upper.display(),
        work.display()
    );
    if options.len() > MAX_OPTIONS {
        return Err(StartError::TooManyLayers(spec.layers.len()));
    }
    mount_at(
        Some("overlay"),
        target,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .map_err(StartError::io("mount the root file system at", target))?;
    std::env::set_current_dir("/").map_err(StartError::io("enter", Path::new("/")))
}

/// The folder all layers lie in, and their names from the uppermost down; `skeleton` lies below them all.
fn lower(spec: &Rootfs, skeleton: &Path) -> (PathBuf, String) {
    let base = spec.layers.first().and_then(|layer| layer.parent());
    let base = base.unwrap_or(Path::new("/"));
    let layers = spec.layers.iter().rev();
    let names = layers
        .map(|layer| layer.strip_prefix(base).unwrap_or(layer))
        .chain([skeleton])
        .map(Path::to_string_lossy);
    (base.to_owned(), names.collect::<Vec<_>>().join(":"))
}

/// Empties `dir`; a dir that is absent is empty.
pub(crate) fn clear(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(layers: &[&str]) -> Rootfs {
        Rootfs {
            layers: layers.iter().map(PathBuf::from).collect(),
            writable: "/w".into(),
        }
    }

    #[test]
    fn the_uppermost_layer_comes_first_and_names_are_short() {
        let (base, names) = lower(&spec(&["/s/l/aa", "/s/l/bb", "/other/cc"]), Path::new("/r/skel"));
        assert_eq!(
            (base.to_str().unwrap(), names.as_str()),
            ("/s/l", "/other/cc:bb:aa:/r/skel")
        );
    }

    #[test]
    fn an_image_without_layers_has_the_mount_points_alone() {
        let (_, names) = lower(&spec(&[]), Path::new("/r/skel"));
        assert_eq!(names, "/r/skel");
    }
}
