//! `floe restore`: a new cluster's state from a backup.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use controlplane_store::Revision;
use controlplane_store_sqlite::{Point, Restored, restore};
use tempfile::NamedTempFile;

use crate::progress;
use crate::verbs::Moment;

mod download;

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// A backup that `floe backup` or a server's schedule has written: a file, or s3://BUCKET/NAME; the newest in the bucket
    /// where the name ends in a slash.
    #[arg(value_name = "FILE|URL")]
    file: PathBuf,
    /// State directory of the new cluster's first server, which has not been started yet.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/floe/controlplane")]
    into: PathBuf,
    /// The state at an older revision or time of the backup's history: 1234, 2026-01-02T15:04:05Z, 10m.
    #[arg(long, value_name = "REVISION|TIME")]
    at: Option<Moment>,
    #[command(flatten)]
    s3: download::Options,
}

/// Restores, and says what.
///
/// # Errors
///
/// Where the file is no backup or is damaged, cannot be downloaded, or the directory has a state.
pub(crate) async fn run(args: &RestoreArgs) -> anyhow::Result<String> {
    let restored = match download::Place::parse(&args.file, &args.s3)? {
        None => into_state_dir(&args.file, &args.into, args.at)?,
        Some(place) => {
            let what = || format!("restore {} into {}", args.file.display(), args.into.display());
            make_empty(&args.into, what)?;
            // Beside the state that is made from it, so that the space is there; gone when it was used.
            let mut file = NamedTempFile::with_prefix_in(".floe-restore-", &args.into).with_context(what)?;
            place.fetch(file.as_file_mut()).await.with_context(what)?;
            into_state_dir(file.path(), &args.into, args.at)?
        }
    };
    Ok(format!(
        "{} holds {} objects as of revision {}, in the new cluster {} at revision {}; start its server now",
        args.into.display(),
        restored.objects,
        restored.from,
        restored.cluster_id,
        restored.revision
    ))
}

/// Makes the state of a new cluster in `state_dir`.
pub(crate) fn into_state_dir(file: &Path, state_dir: &Path, at: Option<Moment>) -> anyhow::Result<Restored> {
    let what = || format!("restore {} into {}", file.display(), state_dir.display());
    // A name that was mistyped makes no directory.
    ensure!(file.is_file(), "{}: {} is no file", what(), file.display());
    make_empty(state_dir, what)?;
    restore(file, &state_dir.join("store.db"), point(at)).with_context(what)
}

/// Makes the directory of a new state, which may have keys already, but no state.
fn make_empty(state_dir: &Path, what: impl Fn() -> String + Copy) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir);
    made.with_context(what)?;
    // Keys may be there already, so that nodes know the cluster again; a log of writes may not.
    for state in ["store.db", "store.db-wal", "log", "raft"] {
        let found = state_dir.join(state);
        ensure!(
            found.symlink_metadata().is_err(),
            "{}: {} exists; a new cluster begins in a directory without state",
            what(),
            found.display()
        );
    }
    Ok(())
}

fn point(at: Option<Moment>) -> Point {
    match at {
        None => Point::Newest,
        Some(Moment::Revision(revision)) => Point::Revision(Revision::from(revision)),
        Some(moment) => {
            let time = moment.time(progress::moment());
            Point::Time(
                time.and_then(|time| u64::try_from(time.as_second()).ok())
                    .unwrap_or(0),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_with_a_state_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let args = RestoreArgs {
            file: folder.path().join("backup.db"),
            into: folder.path().join("state"),
            at: None,
            s3: download::Options::default(),
        };
        let refused = format!("{:#}", run(&args).await.unwrap_err());
        assert!(refused.contains("backup.db is no file"), "{refused}");
        assert!(
            !args.into.exists(),
            "nothing is made for a name that was mistyped"
        );
        std::fs::create_dir(&args.into).unwrap();
        std::fs::write(&args.file, "a backup").unwrap();
        std::fs::write(args.into.join("store.db"), "mine").unwrap();
        let refused = format!("{:#}", run(&args).await.unwrap_err());
        assert!(
            refused.contains("store.db exists; a new cluster begins"),
            "{refused}"
        );
        assert_eq!(std::fs::read(args.into.join("store.db")).unwrap(), b"mine");
    }
}
