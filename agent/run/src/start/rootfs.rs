//! The root file system: the image's layers below, a fresh writable one above.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount as mount_at};

use super::StartError;
use crate::launch::Rootfs;

/// Longest option text the kernel takes is a page; this leaves room for the rest.
const MAX_OPTIONS: usize = 4000;

/// Mounts it at `target`. The writable layer of the last run is removed first.
pub(super) fn mount(spec: &Rootfs, target: &Path) -> Result<(), StartError> {
    clear(&spec.writable).map_err(StartError::io(
        "remove the last writable layer in",
        &spec.writable,
    ))?;
    for name in ["upper", "work", "empty"] {
        let dir = spec.writable.join(name);
        fs::create_dir_all(&dir).map_err(StartError::io("create", &dir))?;
    }
    fs::create_dir_all(target).map_err(StartError::io("create", target))?;
    let (base, lower) = lower(spec)?;
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

/// The folder all layers lie in, and their names from the uppermost down.
fn lower(spec: &Rootfs) -> Result<(PathBuf, String), StartError> {
    let Some(base) = spec.layers.first().and_then(|l| l.parent()) else {
        return Ok((spec.writable.clone(), "empty".into()));
    };
    let names: Vec<String> = spec
        .layers
        .iter()
        .rev()
        .map(|layer| {
            layer
                .strip_prefix(base)
                .unwrap_or(layer)
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    Ok((base.to_owned(), names.join(":")))
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
        let (base, names) = lower(&spec(&["/s/l/aa", "/s/l/bb", "/other/cc"])).unwrap();
        assert_eq!(
            (base.to_str().unwrap(), names.as_str()),
            ("/s/l", "/other/cc:bb:aa")
        );
    }

    #[test]
    fn an_image_without_layers_has_an_empty_one() {
        let (base, names) = lower(&spec(&[])).unwrap();
        assert_eq!((base.to_str().unwrap(), names.as_str()), ("/w", "empty"));
    }
}
