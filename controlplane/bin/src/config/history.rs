//! How much history is kept on disk for people.

use anyhow::{Context, bail};
use controlplane_apimachinery::quantity::Quantity;
use controlplane_store_sqlite::Keep;
use jiff::SignedDuration;
use serde::Deserialize;

use super::duration;

/// The table `history` of the file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    age: String,
    versions: u64,
    size: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            age: "24h".to_owned(),
            versions: 100_000,
            size: "256Mi".to_owned(),
        }
    }
}

/// Longest age: ten years of 365 days.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// Most versions: each is read and checked at the start.
const MAX_VERSIONS: u64 = 100_000_000;
/// Most bytes: the state's file is that much larger.
const MAX_BYTES: i64 = 1 << 40;

/// Checks `raw`.
///
/// # Errors
///
/// Names the key and its value.
pub(super) fn check(raw: &Raw) -> anyhow::Result<Keep> {
    let age = duration(&raw.age).with_context(|| {
        format!(
            "history.age = {:?}: must be a duration such as 24h or 7d",
            raw.age
        )
    })?;
    if age.is_negative() || age > MAX_AGE {
        bail!(
            "history.age = {:?}: must be between 0s and 87600h (ten years)",
            raw.age
        );
    }
    if raw.versions > MAX_VERSIONS {
        bail!(
            "history.versions = {}: must be at most {MAX_VERSIONS}",
            raw.versions
        );
    }
    let size = Quantity::parse(&raw.size)
        .with_context(|| {
            format!(
                "history.size = {:?}: must be a quantity such as 256Mi or 2Gi",
                raw.size
            )
        })?
        .bytes();
    if !(0..=MAX_BYTES).contains(&size) {
        bail!("history.size = {:?}: must be between 0 and 1Ti", raw.size);
    }
    Ok(Keep {
        versions: raw.versions,
        seconds: age.as_secs().unsigned_abs(),
        bytes: size.unsigned_abs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> anyhow::Result<Keep> {
        check(&toml::from_str(text)?)
    }

    #[test]
    fn an_empty_table_keeps_what_the_store_keeps_by_itself() {
        assert_eq!(checked("").unwrap(), Keep::default());
    }

    #[test]
    fn each_bound_is_a_key() {
        let keep = checked("age = \"7d 12h\"\nversions = 5\nsize = \"2Gi\"").unwrap();
        assert_eq!(
            (keep.seconds, keep.versions, keep.bytes),
            (180 * 3600, 5, 2 << 30)
        );
        let none = checked("age = \"0s\"\nversions = 0\nsize = \"0\"").unwrap();
        assert_eq!((none.seconds, none.versions, none.bytes), (0, 0, 0));
    }

    #[test]
    fn what_is_wrong_is_named_by_key_and_value() {
        for (text, expected) in [
            ("age = \"always\"", "history.age = \"always\": must be a duration"),
            (
                "age = \"-1h\"",
                "history.age = \"-1h\": must be between 0s and 87600h",
            ),
            ("age = \"99999h\"", "history.age = \"99999h\": must be between 0s"),
            (
                "versions = 100000001",
                "history.versions = 100000001: must be at most 100000000",
            ),
            ("versions = -1", "invalid value: integer `-1`"),
            ("size = \"big\"", "history.size = \"big\": must be a quantity"),
            (
                "size = \"2Ti\"",
                "history.size = \"2Ti\": must be between 0 and 1Ti",
            ),
            ("days = 1", "unknown field `days`"),
        ] {
            let refused = format!("{:#}", checked(text).unwrap_err());
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }
}
