//! The zone on disk: names are answered after a restart or a reboot with the API server away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::names::Names;
use crate::zone::Contents;

/// Version of the file; one of another version is not read.
const VERSION: u32 = 1;
/// Changes within this time are written together.
const GATHER: Duration = Duration::from_secs(1);
/// The file is not written more often than this.
const REST: Duration = Duration::from_secs(25);

#[derive(Debug, Serialize, Deserialize)]
struct File {
    version: u32,
    contents: Contents,
}

/// Takes in what was kept at `path`. What cannot be read is as good as nothing: the API tells it all.
pub(crate) fn load(path: &Path, names: &Names) {
    let read = std::fs::read(path).and_then(|bytes| Ok(serde_json::from_slice::<File>(&bytes)?));
    match read {
        Ok(file) if file.version == VERSION => {
            let (services, slices) = (file.contents.services.len(), file.contents.slices.len());
            names.load(file.contents);
            info!(services, slices, "cluster names taken from the last run");
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, path = %path.display(), "kept names not read")
        }
    }
}

/// Keeps the zone at `path` as it changes, and once more at the end, until `stop`.
pub(crate) async fn keep(path: PathBuf, names: Arc<Names>, stop: CancellationToken) {
    let mut saved = names.read(|zone| zone.serial());
    while stop.run_until_cancelled(names.changed()).await.is_some() {
        // Cut short by the end, so that the last changes are kept, too.
        stop.run_until_cancelled(tokio::time::sleep(GATHER)).await;
        saved = save_if_changed(&path, &names, saved).await;
        stop.run_until_cancelled(tokio::time::sleep(REST)).await;
    }
    save_if_changed(&path, &names, saved).await;
}

/// Writes where the zone is no longer the one of `saved`; returns the serial that is on disk.
async fn save_if_changed(path: &Path, names: &Names, saved: u32) -> u32 {
    // Before it is whole the zone would wipe out what is known.
    if !names.is_ready() || names.read(|zone| zone.serial()) == saved {
        return saved;
    }
    let (serial, contents) = names.read(|zone| (zone.serial(), zone.contents()));
    let target = path.to_owned();
    let written = tokio::task::spawn_blocking(move || write(&target, contents)).await;
    match written.map_err(io::Error::other).flatten() {
        Ok(()) => serial,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, path = %path.display(), "cluster names not kept");
            saved
        }
    }
}

fn write(path: &Path, contents: Contents) -> io::Result<()> {
    let file = File {
        version: VERSION,
        contents,
    };
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, serde_json::to_vec(&file)?)?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::tests::{example, zone};

    #[test]
    fn what_was_kept_answers_after_a_restart_and_a_torn_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dns.json");
        write(&path, example().contents()).unwrap();
        let names = Names::new(zone());
        load(&path, &names);
        assert!(names.is_ready());
        assert_eq!(names.read(|zone| zone.contents()), example().contents());

        std::fs::write(&path, "{\"version\":1,\"cont").unwrap();
        let names = Names::new(zone());
        load(&path, &names);
        assert!(!names.is_ready());
    }
}
