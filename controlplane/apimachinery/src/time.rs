//! Times as the API writes them, and durations as kubectl shows them. The clock is always the caller's.

use jiff::Timestamp;
use serde_json::Value;

/// `metav1.Time`: RFC 3339 in UTC, whole seconds.
#[must_use]
pub fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`: RFC 3339 in UTC with six digits of fraction.
#[must_use]
pub fn format_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads an RFC 3339 time with any fraction and offset.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// How long ago `then` was, as tables show it; `<unknown>` where it is absent or unreadable.
#[must_use]
pub fn age(then: Option<&Value>, now: Timestamp) -> String {
    match then.and_then(Value::as_str).and_then(parse) {
        Some(then) => human_duration(now.as_second() - then.as_second()),
        None => "<unknown>".to_owned(),
    }
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A duration in seconds with at most two units, finer the shorter it is: `119s`, `5m12s`, `3d4h`, `2y`.
///
/// A clock that is up to a second ahead is forgiven; beyond that the answer is `<invalid>`.
#[must_use]
pub fn human_duration(seconds: i64) -> String {
    match seconds {
        i64::MIN..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two_units(seconds, (MINUTE, 'm'), (1, 's')),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two_units(seconds, (HOUR, 'h'), (MINUTE, 'm')),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two_units(seconds, (DAY, 'd'), (HOUR, 'h')),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two_units(seconds, (YEAR, 'y'), (DAY, 'd')),
        252_288_000.. => format!("{}y", seconds / YEAR),
    }
}

fn two_units(seconds: i64, (big, big_unit): (i64, char), (small, small_unit): (i64, char)) -> String {
    let rest = seconds % big / small;
    let head = format!("{}{big_unit}", seconds / big);
    if rest == 0 {
        head
    } else {
        format!("{head}{rest}{small_unit}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_read_as_kubectl_prints_them() {
        for (seconds, text) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (312, "5m12s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 5 * MINUTE + 1, "3h5m"),
            (8 * HOUR + 59 * MINUTE, "8h"),
            (47 * HOUR, "47h"),
            (2 * DAY, "2d"),
            (2 * DAY + 5 * HOUR, "2d5h"),
            (8 * DAY + 5 * HOUR, "8d"),
            (2 * YEAR - 1, "729d"),
            (2 * YEAR, "2y"),
            (3 * YEAR + 4 * DAY, "3y4d"),
            (8 * YEAR + 4 * DAY, "8y"),
        ] {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn times_are_written_in_utc_with_the_digits_their_type_has() {
        let time: Timestamp = "2026-01-02T05:04:05.678901234+02:00".parse().unwrap();
        assert_eq!(format(time), "2026-01-02T03:04:05Z");
        assert_eq!(format_micro(time), "2026-01-02T03:04:05.678901Z");
        assert_eq!(
            parse(&format_micro(time)).map(format),
            Some("2026-01-02T03:04:05Z".to_owned())
        );
    }

    #[test]
    fn an_age_without_a_time_is_unknown() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(age(Some(&json!("2026-01-02T03:03:00Z")), now), "65s");
        assert_eq!(age(None, now), "<unknown>");
        assert_eq!(age(Some(&json!("yesterday")), now), "<unknown>");
    }
}
