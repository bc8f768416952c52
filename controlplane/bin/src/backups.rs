//! Backups by schedule, into a directory, a bucket, or both.

mod bucket;
mod directory;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use controlplane_bucket::Settings;
use controlplane_raft::Members;
use controlplane_store_sqlite::Archive;
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde::Deserialize;
use tokio::task::JoinSet;
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
    directory: Option<PathBuf>,
    s3: Option<Settings>,
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

/// When and where backups are made, and how many are kept at each place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    places: Vec<Place>,
    interval: SignedDuration,
    keep: usize,
}

/// Where backups lie.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Of this server; each makes its own.
    Directory(PathBuf),
    /// Of the whole cluster; the server that leads fills it.
    Bucket(Settings),
}

impl Schedule {
    /// Checks `raw`.
    ///
    /// # Errors
    ///
    /// Names the key and its value.
    pub(crate) fn check(raw: Raw) -> anyhow::Result<Self> {
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
        if let Some(directory) = raw
            .directory
            .as_ref()
            .filter(|directory| !directory.is_absolute())
        {
            bail!("backup.directory = {directory:?}: must be an absolute path");
        }
        if let Some(settings) = &raw.s3 {
            settings
                .check()
                .map_err(|error| anyhow::anyhow!("backup.s3.{error}"))?;
        }
        let places = raw.directory.map(Place::Directory).into_iter();
        let places: Vec<Place> = places.chain(raw.s3.map(Place::Bucket)).collect();
        if places.is_empty() {
            bail!("backup: needs `directory`, or a table `backup.s3` with `bucket`, or both");
        }
        Ok(Self {
            places,
            interval,
            keep: raw.keep,
        })
    }

    /// How long until the next is due, where the newest of `made` is the last.
    fn wait(&self, made: &[String], now: Timestamp) -> Duration {
        let last = made.last().and_then(|name| time_of(name));
        let due = last.and_then(|last| last.checked_add(self.interval).ok());
        due.map_or(Duration::ZERO, |due| {
            Duration::try_from(due.duration_since(now)).unwrap_or_default()
        })
    }

    /// Those of `made`, which are in order, that are beyond what is kept.
    fn beyond<'a>(&self, made: &'a [String]) -> impl Iterator<Item = &'a String> {
        made.iter().take(made.len().saturating_sub(self.keep))
    }
}

/// When the backup of that name was made; none for other files, which are never touched.
fn time_of(name: &str) -> Option<Timestamp> {
    let time = civil::DateTime::strptime(NAME, name).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// What backups are made of.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) archive: Archive,
    pub(crate) members: Members,
    pub(crate) state_dir: PathBuf,
}

/// Makes backups until `stop`; at once, where the last one is longer ago than the interval.
pub(crate) async fn run(schedule: Option<Schedule>, source: Source, stop: CancellationToken) {
    let Some(schedule) = schedule else { return };
    let mut places = JoinSet::new();
    for place in schedule.places.clone() {
        let (schedule, source, stop) = (schedule.clone(), source.clone(), stop.clone());
        // A backup under way is cut short by the end of the process: it has no name yet, and is cleaned up by the next.
        places.spawn(async move {
            // Cancel-safe: as above.
            stop.run_until_cancelled(fill(&place, &schedule, &source)).await;
        });
    }
    while places.join_next().await.is_some() {}
}

/// Makes backups at `place` for ever.
async fn fill(place: &Place, schedule: &Schedule, source: &Source) {
    let mut leads = source.members.leadership();
    loop {
        if matches!(place, Place::Bucket(_)) && leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        let wait = match next(place, schedule, source).await {
            Ok(wait) => wait,
            Err(error) => {
                error!(error = format!("{error:#}"), "backup failed");
                RETRY
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Makes a backup where one is due, and says how long until the next is.
async fn next(place: &Place, schedule: &Schedule, source: &Source) -> anyhow::Result<Duration> {
    let now = Timestamp::now();
    match place {
        Place::Directory(directory) => {
            let (directory, schedule, archive) =
                (directory.clone(), schedule.clone(), source.archive.clone());
            tokio::task::spawn_blocking(move || directory::next(&directory, &schedule, &archive, now)).await?
        }
        Place::Bucket(settings) => bucket::next(settings, schedule, source, now).await,
    }
}

fn tell(file: &str) {
    info!(file, "backup made");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> anyhow::Result<Schedule> {
        Schedule::check(toml::from_str(text)?)
    }

    #[test]
    fn a_schedule_is_a_place_or_two_an_interval_and_a_number() {
        let usual = schedule("directory = \"/backups\"").unwrap();
        assert_eq!((usual.interval, usual.keep), (SignedDuration::from_hours(24), 7));
        let both = schedule("directory = \"/b\"\ninterval = \"7d\"\n[s3]\nbucket = \"floe\"").unwrap();
        let bucket = Place::Bucket(Settings::of("floe"));
        assert_eq!(both.places, [Place::Directory("/b".into()), bucket]);
        assert_eq!(both.interval, SignedDuration::from_hours(168));
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
            ("keep = 1", "needs `directory`, or a table `backup.s3`"),
            (
                "[s3]\nbucket = \"B\"",
                "backup.s3.bucket = \"B\": must be the name of a bucket",
            ),
            ("[s3]\nregion = \"here\"", "missing field `bucket`"),
        ] {
            let refused = format!("{:#}", schedule(text).unwrap_err());
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
