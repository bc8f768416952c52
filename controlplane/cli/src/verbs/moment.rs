//! `--at`: a moment of the past.

use std::str::FromStr;

use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde_json::Value;

use super::api::Api;
use super::query::{Limits, ask, literal};

/// A revision, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A revision of the store, as in `resourceVersion`.
    Revision(u64),
    /// A time.
    Time(Timestamp),
    /// So long ago.
    Ago(SignedDuration),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(revision) = text.parse() {
            return Ok(Self::Revision(revision));
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::Time(time));
        }
        if let Ok(local) = text.parse::<civil::DateTime>() {
            let zoned = local
                .to_zoned(TimeZone::system())
                .map_err(|error| error.to_string())?;
            return Ok(Self::Time(zoned.timestamp()));
        }
        match text.parse::<SignedDuration>() {
            Ok(ago) if ago.is_positive() => Ok(Self::Ago(ago)),
            _ => Err("must be a revision such as 1234, a time such as 2026-01-02T15:04:05Z or 2026-01-02T15:04 (local), or \
                 how long ago, such as 10m"
                .to_owned()),
        }
    }
}

impl Moment {
    /// The time, if it is one, as seen at `now`.
    pub(crate) fn time(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Revision(_) => None,
            Self::Time(time) => Some(time),
            Self::Ago(ago) => now.checked_sub(ago).ok(),
        }
    }

    /// The revision of the server that was the newest then.
    pub(super) async fn revision(self, api: &Api, now: Timestamp) -> anyhow::Result<u64> {
        let Some(time) = self.time(now) else {
            return match self {
                Self::Revision(revision) => Ok(revision),
                Self::Time(_) | Self::Ago(_) => bail!("that long ago there was no time"),
            };
        };
        let shown = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let sql = format!(
            "SELECT (SELECT max(revision) FROM history WHERE time <= {0}), oldest_revision, oldest_time, {0} < oldest_time
                FROM store",
            literal(&shown)
        );
        let what = format!("find the revision of {shown}");
        let answer = ask(
            api,
            &sql,
            Limits {
                rows: None,
                seconds: Some(30),
            },
            &what,
        )
        .await?;
        let row = answer.rows.first().map(Vec::as_slice);
        let Some([found, oldest, since, too_old]) = row else {
            bail!("{what}: the server's answer has no row")
        };
        if too_old.as_i64() == Some(1) {
            let since = since.as_str().unwrap_or_default();
            bail!("{what}: history goes back to {since} only");
        }
        let newest = [found, oldest].into_iter().filter_map(Value::as_u64).max();
        newest.with_context(|| format!("{what}: the server has no revision"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_revision_a_time_or_how_long_ago() {
        assert_eq!("1234".parse(), Ok(Moment::Revision(1234)));
        let time: Timestamp = "2026-01-02T15:04:05Z".parse().unwrap();
        assert_eq!("2026-01-02T15:04:05Z".parse(), Ok(Moment::Time(time)));
        assert_eq!("2026-01-02T17:04:05+02:00".parse(), Ok(Moment::Time(time)));
        assert!(matches!("2026-01-02T15:04".parse(), Ok(Moment::Time(_))));
        assert!(matches!("2026-01-02 15:04:05".parse(), Ok(Moment::Time(_))));
        let ago: Moment = "1h30m".parse().unwrap();
        assert_eq!(ago, Moment::Ago(SignedDuration::from_mins(90)));
        assert_eq!(ago.time(time).unwrap().to_string(), "2026-01-02T13:34:05Z");
        for wrong in ["", "yesterday", "-5", "-10m", "2026-13-01T00:00:00Z", "0s"] {
            assert!(
                wrong
                    .parse::<Moment>()
                    .unwrap_err()
                    .starts_with("must be a revision"),
                "{wrong}"
            );
        }
    }
}
