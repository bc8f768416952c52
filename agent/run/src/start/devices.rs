//! The node's devices, for privileged containers.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};
use serde_json::{Value, json};

/// Most devices that are passed on.
const MOST: usize = 2048;

/// Deepest folder below `/dev` that is looked into.
const DEEPEST: usize = 4;

/// What a container has of its own, and what is no device.
const OWN: [&str; 16] = [
    "console",
    "core",
    "fd",
    "full",
    "hugepages",
    "log",
    "mqueue",
    "null",
    "ptmx",
    "pts",
    "random",
    "shm",
    "tty",
    "urandom",
    "zero",
    ".udev",
];

/// Adds the node's devices to a configuration.
pub(super) fn add(config: &mut Value) {
    if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
        linux.insert("devices".into(), Value::Array(devices(Path::new("/dev"))));
    }
}

/// The devices in `root`, as if it were `/dev`; links are not followed.
fn devices(root: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    let mut folders = VecDeque::from([(root.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop_front() {
        // A folder that cannot be read has no devices to pass on.
        let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| depth > 0 || !is_own(path))
            .collect();
        paths.sort();
        for path in paths {
            let Ok(facts) = fs::symlink_metadata(&path) else {
                continue;
            };
            if facts.is_dir() && depth < DEEPEST {
                folders.push_back((path, depth + 1));
            } else if found.len() < MOST {
                found.extend(path.strip_prefix(root).ok().and_then(|name| device(name, &facts)));
            }
        }
    }
    found
}

fn is_own(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| OWN.iter().any(|own| name == *own))
}

fn device(name: &Path, facts: &fs::Metadata) -> Option<Value> {
    let kind = facts.file_type();
    let letter = match (kind.is_char_device(), kind.is_block_device()) {
        (true, _) => "c",
        (_, true) => "b",
        _ => return None,
    };
    Some(json!({
        "path": Path::new("/dev").join(name),
        "type": letter,
        "major": major(facts.rdev()),
        "minor": minor(facts.rdev()),
        "fileMode": facts.mode() & 0o7777,
        "uid": facts.uid(),
        "gid": facts.gid(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_devices_are_passed_on_and_none_that_a_container_has_of_its_own() {
        let found = devices(Path::new("/dev"));
        let paths: Vec<&str> = found
            .iter()
            .filter_map(|device| device["path"].as_str())
            .collect();
        assert!(paths.iter().all(|path| path.starts_with("/dev/")));
        for own in [
            "/dev/null",
            "/dev/tty",
            "/dev/pts/0",
            "/dev/pts/ptmx",
            "/dev/stdin",
        ] {
            assert!(!paths.contains(&own), "{own}");
        }
    }

    #[test]
    fn links_and_files_are_no_devices_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("/dev", root.path().join("all")).unwrap();
        assert!(devices(root.path()).is_empty());
    }
}
