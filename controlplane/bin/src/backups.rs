//! Backups by schedule, into a directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use controlplane_store_sqlite::Archive;
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::duration;

/// How the files are named, in UTC: their order by name is that by age.
const NAME: &str = "floe-%Y%m%dT%H%M%SZ.db";
/// Least time between two backups.
const LEAST: SignedDuration = SignedDuration::from_secs(60);
/// Time after which a backup that failed is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// The table `backup` of the configuration file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raw {
    directory: PathBuf,
    #[serde(default = "daily")]
    interval: String,
    #[serde(default = "week")]
    keep: usize,
}

fn daily() -> String {
    "24h".to_owned()
}

const fn week() -> usize {
    7
}

/// When and where backups are made, and how many are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    directory: PathBuf,
    interval: SignedDuration,
    keep: usize,
}

impl Schedule {
    /// Checks `raw`.
    ///
    /// # Errors
    ///
    /// Names the key and its value.
    pub(crate) fn check(raw: Raw) -> anyhow::Result<Self> {
        if !raw.directory.is_absolute() {
            bail!("backup.directory = {:?}: must be an absolute path", raw.directory);
        }
        let interval = duration(&raw.interval).with_context(|| {
            format!(
                "backup.interval = {:?}: must be a duration such as 6h or 30m",
                raw.interval
            )
        })?;
        if interval < LEAST {
            bail!("backup.interval = {:?}: must be at least 1m", raw.interval);
        }
        if raw.keep == 0 {
            bail!("backup.keep = 0: must be at least 1; leave the table `backup` out for no backups");
        }
        Ok(Self {
            directory: raw.directory,
            interval,
            keep: raw.keep,
        })
    }

    /// Removes what a server that was killed left of backups it was making.
    fn clean_up(&self) -> anyhow::Result<()> {
        let what = || format!("clean up {}", self.directory.display());
        for found in fs::read_dir(&self.directory).with_context(what)? {
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
    fn made(&self) -> anyhow::Result<Vec<String>> {
        let what = || format!("list {}", self.directory.display());
        let mut names = Vec::new();
        for found in fs::read_dir(&self.directory).with_context(what)? {
            let name = found.with_context(what)?.file_name();
            names.extend(
                name.to_str()
                    .filter(|name| time_of(name).is_some())
                    .map(str::to_owned),
            );
        }
        names.sort();
        Ok(names)
    }

    /// How long until the next is due.
    fn wait(&self, now: Timestamp) -> Duration {
        let last = self.made().ok().and_then(|made| time_of(made.last()?));
        let due = last.and_then(|last| last.checked_add(self.interval).ok());
        due.map_or(Duration::ZERO, |due| {
            Duration::try_from(due.duration_since(now)).unwrap_or_default()
        })
    }

    /// Makes one, then removes those beyond what is kept. Blocks.
    fn make(&self, archive: &Archive, now: Timestamp) -> anyhow::Result<PathBuf> {
        make_private(&self.directory)?;
        let file = self.directory.join(now.strftime(NAME).to_string());
        archive
            .backup(&file)
            .with_context(|| format!("write the backup {}", file.display()))?;
        self.clean_up()?;
        let made = self.made()?;
        for old in made.iter().take(made.len().saturating_sub(self.keep)) {
            let old = self.directory.join(old);
            fs::remove_file(&old).with_context(|| format!("remove the old backup {}", old.display()))?;
        }
        Ok(file)
    }
}

fn make_private(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.with_context(|| format!("create {} (key `backup.directory`)", directory.display()))
}

/// When the backup of that name was made; none for other files, which are never touched.
fn time_of(name: &str) -> Option<Timestamp> {
    let time = civil::DateTime::strptime(NAME, name).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Makes backups until `stop`; at once, where the last one is longer ago than the interval.
pub(crate) async fn run(schedule: Option<Schedule>, archive: Archive, stop: CancellationToken) {
    let Some(schedule) = schedule else { return };
    let mut wait = schedule.wait(Timestamp::now());
    loop {
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: a dropped sleep loses nothing.
            () = tokio::time::sleep(wait) => {}
        }
        let (now, plan, archive) = (Timestamp::now(), schedule.clone(), archive.clone());
        let made = tokio::task::spawn_blocking(move || plan.make(&archive, now)).await;
        wait = match made.map_err(anyhow::Error::from).flatten() {
            Ok(file) => {
                info!(file = %file.display(), "backup made");
                schedule.wait(Timestamp::now())
            }
            Err(error) => {
                error!(error = format!("{error:#}"), "backup failed");
                RETRY
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use controlplane_store_sqlite::{SqliteState, inspect};

    fn schedule(text: &str) -> anyhow::Result<Schedule> {
        Schedule::check(toml::from_str(text)?)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_schedule_is_a_directory_an_interval_and_a_number() {
        let usual = schedule("directory = \"/backups\"").unwrap();
        assert_eq!((usual.interval, usual.keep), (SignedDuration::from_hours(24), 7));
        for (text, expected) in [
            (
                "directory = \"backups\"",
                "backup.directory = \"backups\": must be an absolute path",
            ),
            (
                "directory = \"/b\"\ninterval = \"often\"",
                "backup.interval = \"often\": must be a duration",
            ),
            (
                "directory = \"/b\"\ninterval = \"5s\"",
                "backup.interval = \"5s\": must be at least 1m",
            ),
            (
                "directory = \"/b\"\nkeep = 0",
                "backup.keep = 0: must be at least 1",
            ),
            ("directory = \"/b\"\nbucket = 0", "unknown field `bucket`"),
            ("keep = 1", "missing field `directory`"),
        ] {
            let refused = format!("{:#}", schedule(text).unwrap_err());
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn the_newest_are_kept_and_other_files_are_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let state = SqliteState::open(&folder.path().join("store.db")).unwrap();
        let directory = folder.path().join("backups");
        let plan = Schedule {
            directory: directory.clone(),
            interval: SignedDuration::from_hours(1),
            keep: 2,
        };
        make_private(&directory).unwrap();
        fs::write(directory.join("floe-notes.txt"), "mine").unwrap();
        fs::write(directory.join("floe-20231101T001320Z.db.part"), "of a crash").unwrap();
        assert_eq!(plan.wait(at(0)), Duration::ZERO);
        for hour in 0..4 {
            let file = plan.make(&state.archive(), at(hour * 3600)).unwrap();
            assert_eq!(inspect(&file).unwrap().revision, 1);
        }
        assert_eq!(
            plan.made().unwrap(),
            ["floe-20231115T001320Z.db", "floe-20231115T011320Z.db"]
        );
        assert_eq!(plan.wait(at(3 * 3600 + 60)), Duration::from_secs(59 * 60));
        assert_eq!(plan.wait(at(9 * 3600)), Duration::ZERO);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 3);
        // One that fails leaves the others.
        assert!(plan.make(&state.archive(), at(3 * 3600)).is_err());
        assert_eq!(plan.made().unwrap().len(), 2);
    }
}
