use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use controlplane_store_sqlite::Archive;
use jiff::Timestamp;

use super::{NAME, Schedule, tell, time_of};

/// Makes a backup in `directory` where one is due at `now`, removes those beyond what is kept, and says how long until the
/// next is due. Blocks.
pub(super) fn next(
    directory: &Path,
    schedule: &Schedule,
    archive: &Archive,
    now: Timestamp,
) -> anyhow::Result<Duration> {
    make_private(directory)?;
    let made = made(directory)?;
    let wait = schedule.wait(&made, now);
    if !wait.is_zero() {
        return Ok(wait);
    }
    let file = directory.join(now.strftime(NAME).to_string());
    archive
        .backup(&file)
        .with_context(|| format!("write the backup {}", file.display()))?;
    tell(&file.display().to_string());
    clean_up(directory)?;
    let made = self::made(directory)?;
    for old in schedule.beyond(&made) {
        let old = directory.join(old);
        fs::remove_file(&old).with_context(|| format!("remove the old backup {}", old.display()))?;
    }
    Ok(schedule.wait(&made, now))
}

/// Removes what a server that was killed left of backups it was making.
fn clean_up(directory: &Path) -> anyhow::Result<()> {
    let what = || format!("clean up {}", directory.display());
    for found in fs::read_dir(directory).with_context(what)? {
        let found = found.with_context(what)?;
        let name = found.file_name();
        let unfinished = name.to_str().and_then(|name| name.strip_suffix(".part"));
        if unfinished.is_some_and(|name| time_of(name).is_some()) {
            fs::remove_file(found.path()).with_context(what)?;
        }
    }
    Ok(())
}

/// Names of the backups that are there, the oldest first.
fn made(directory: &Path) -> anyhow::Result<Vec<String>> {
    let what = || format!("list {}", directory.display());
    let mut names = Vec::new();
    for found in fs::read_dir(directory).with_context(what)? {
        let name = found.with_context(what)?.file_name();
        let name = name.to_str().filter(|name| time_of(name).is_some());
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn make_private(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.with_context(|| format!("create {} (key `backup.directory`)", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use controlplane_store_sqlite::{SqliteState, inspect};
    use jiff::SignedDuration;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn the_newest_are_kept_and_other_files_are_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let state = SqliteState::open(&folder.path().join("store.db")).unwrap();
        let archive = state.archive();
        let directory = folder.path().join("backups");
        let schedule = Schedule {
            places: Vec::new(),
            interval: SignedDuration::from_hours(1),
            keep: 2,
        };
        let next = |seconds| next(&directory, &schedule, &archive, at(seconds));
        make_private(&directory).unwrap();
        fs::write(directory.join("floe-notes.txt"), "mine").unwrap();
        fs::write(directory.join("floe-20231101T001320Z.db.part"), "of a crash").unwrap();
        for hour in 0..4 {
            assert_eq!(next(hour * 3600).unwrap(), Duration::from_hours(1));
        }
        let names = ["floe-20231115T001320Z.db", "floe-20231115T011320Z.db"];
        assert_eq!(made(&directory).unwrap(), names);
        assert_eq!(inspect(&directory.join(names[1])).unwrap().revision, 1);
        // None is due: nothing is made.
        assert_eq!(next(3 * 3600 + 60).unwrap(), Duration::from_mins(59));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 3);
        // One that fails leaves the others.
        drop(state);
        fs::remove_file(folder.path().join("store.db")).unwrap();
        assert!(next(9 * 3600).is_err());
        assert_eq!(made(&directory).unwrap(), names);
    }
}
