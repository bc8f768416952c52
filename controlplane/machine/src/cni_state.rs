//! What network plugins and the agent keep of our network, among what others keep in the same folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::MachineError;
use crate::disk::remove_tree;

/// Where every runtime and plugin keeps its state.
pub(crate) const FOLDER: &str = "/var/lib/cni";
/// The name of the agent's network.
const NETWORK: &str = "floe";
/// Addresses that are given, a folder for each network.
const ADDRESSES: &str = "networks";
/// Results of ADD, a file for each attachment.
const RESULTS: &str = "results";

/// Which of the folders were there before us; they stay.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Found(BTreeSet<PathBuf>);

impl Found {
    pub(crate) fn look(folder: &Path) -> Self {
        let all = paths(folder).into_iter();
        Self(all.filter(|path| path.exists()).collect())
    }
}

/// The folders that may be ours, each after those in it.
fn paths(folder: &Path) -> [PathBuf; 4] {
    [
        folder.join(ADDRESSES).join(NETWORK),
        folder.join(ADDRESSES),
        folder.join(RESULTS),
        folder.to_owned(),
    ]
}

/// Removes from `folder` what is of our network, and the folders that are empty then and were not there
/// `before`. Another's network of the same name stays.
///
/// # Errors
///
/// Passes on what the file system refused.
pub(crate) fn remove(folder: &Path, before: &Found) -> Result<(), MachineError> {
    let [own, addresses, results, all] = paths(folder);
    if before.0.contains(&own) {
        return Ok(());
    }
    remove_tree(&own)?;
    for entry in fs::read_dir(&results).into_iter().flatten().flatten() {
        if is_ours(&entry.path()) {
            fs::remove_file(entry.path()).map_err(MachineError::file("remove", entry.path()))?;
        }
    }
    for empty in [addresses, results, all] {
        if !before.0.contains(&empty) {
            // What others have put there since stays, and the folder with it.
            let _stays = fs::remove_dir(&empty).is_err();
        }
    }
    Ok(())
}

/// Whether the file of a result, perhaps half written, is of our network. A name is not enough: that of
/// another network may begin with ours.
fn is_ours(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with(&format!("{NETWORK}-")) {
        return false;
    }
    let bytes = fs::read(file).unwrap_or_default();
    match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(result) => result
            .get("networkName")
            .is_some_and(|network| network == NETWORK),
        Err(_) => file.extension().is_some_and(|extension| extension == "new"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn ours(folder: &Path) {
        write(folder, "networks/floe/10.42.0.2", "a");
        write(folder, "networks/floe/lock", "");
        write(folder, "results/floe-a-eth0", r#"{"networkName": "floe"}"#);
        write(folder, "results/floe-a-eth0.new", "{");
    }

    fn listed(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => open.push(entry.path()),
                    false => found.push(entry.path().strip_prefix(folder).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn what_others_keep_stays_and_ours_goes() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("cni");
        write(&folder, "networks/podman/10.88.0.2", "x");
        write(
            &folder,
            "results/floe-other-x-eth0",
            r#"{"networkName": "floe-other"}"#,
        );
        let (before, theirs) = (Found::look(&folder), listed(&folder));
        ours(&folder);
        write(&folder, "cache/later", "");
        remove(&folder, &before).unwrap();
        assert_eq!(listed(&folder), [vec!["cache/later".to_owned()], theirs].concat());
        remove(&folder, &before).unwrap();
    }

    #[test]
    fn folders_that_nobody_else_uses_go_along_and_empty_ones_that_were_there_stay() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("cni");
        for there in [false, true] {
            if there {
                fs::create_dir_all(folder.join("results")).unwrap();
            }
            let before = Found::look(&folder);
            ours(&folder);
            remove(&folder, &before).unwrap();
            assert_eq!(Found::look(&folder), before);
        }
    }

    #[test]
    fn a_network_of_our_name_that_was_there_before_is_not_ours() {
        let place = tempfile::tempdir().unwrap();
        ours(place.path());
        let theirs = listed(place.path());
        remove(place.path(), &Found::look(place.path())).unwrap();
        assert_eq!(listed(place.path()), theirs);
    }
}
