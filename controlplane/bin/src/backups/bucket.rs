use std::time::Duration;

use anyhow::Context;
use controlplane_bucket::{Bucket, Settings, Unfinished};
use jiff::Timestamp;

use super::{NAME, Schedule, Source, tell, time_of};

/// The file beside the state that notes an upload while it lasts.
const NOTE: &str = "backup-upload";

/// Makes a backup in the bucket where one is due at `now`, removes those beyond what is kept, and says how long until the next
/// is due.
pub(super) async fn next(
    settings: &Settings,
    schedule: &Schedule,
    source: &Source,
    now: Timestamp,
) -> anyhow::Result<Duration> {
    // Each time anew: credentials change.
    let bucket = Bucket::open(settings).context("table `backup.s3`")?;
    let made = made(&bucket).await?;
    let wait = schedule.wait(&made, now);
    if !wait.is_zero() {
        return Ok(wait);
    }
    let archive = source.archive.clone();
    // It takes the space of the state beside it until it is uploaded.
    let copy = tokio::task::spawn_blocking(move || archive.unnamed_backup()).await?;
    let copy = copy.context("make the copy that is to be uploaded")?;
    let name = now.strftime(NAME).to_string();
    let unfinished = Unfinished::at(source.state_dir.join(NOTE));
    bucket.put(&name, copy, &unfinished).await?;
    tell(&bucket.url(&name));
    let made = self::made(&bucket).await?;
    for old in schedule.beyond(&made) {
        bucket.remove(old).await?;
    }
    Ok(schedule.wait(&made, now))
}

/// Names of the backups that are there, the oldest first.
async fn made(bucket: &Bucket) -> anyhow::Result<Vec<String>> {
    let names = bucket.list().await?.into_iter().map(|object| object.name);
    Ok(names.filter(|name| time_of(name).is_some()).collect())
}
