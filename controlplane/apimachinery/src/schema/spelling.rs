//! How scalars are spelled once they have been read: as Go's types write them again.

use serde_json::Value;

use crate::quantity::Quantity;
use crate::schema::model::Scalar;
use crate::time;

/// Spells `value` as upstream shows it after reading: bytes without line ends, a quantity in its canonical form, a time
/// in UTC. What is spelled so already, or cannot be read, stays as it is.
pub(crate) fn settle(scalar: Scalar, value: &mut Value) {
    let spelled = match (scalar, &*value) {
        (Scalar::Byte, Value::String(text)) => without_line_ends(text),
        (Scalar::Quantity, Value::String(text)) => quantity(text),
        (Scalar::Quantity, Value::Number(number)) => quantity(&number.to_string()),
        (Scalar::Time, Value::String(text)) => in_utc(text, SECONDS, time::format),
        (Scalar::MicroTime, Value::String(text)) => in_utc(text, MICROSECONDS, time::format_micro),
        _ => None,
    };
    if let Some(spelled) = spelled {
        *value = Value::String(spelled);
    }
}

/// Lengths of times as they are written in UTC.
const SECONDS: usize = "2006-01-02T15:04:05Z".len();
const MICROSECONDS: usize = "2006-01-02T15:04:05.000000Z".len();

fn without_line_ends(text: &str) -> Option<String> {
    text.contains(['\r', '\n'])
        .then(|| text.replace(['\r', '\n'], ""))
}

fn quantity(text: &str) -> Option<String> {
    Quantity::parse(text).ok().map(|quantity| quantity.to_string())
}

fn in_utc(text: &str, length: usize, format: fn(jiff::Timestamp) -> String) -> Option<String> {
    if text.len() == length && text.ends_with('Z') {
        return None;
    }
    time::parse(text).map(format)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settled(scalar: Scalar, mut value: Value) -> Value {
        settle(scalar, &mut value);
        value
    }

    #[test]
    fn scalars_are_spelled_as_upstream_shows_them() {
        for (scalar, given, shown) in [
            (Scalar::Byte, json!("YWJj\r\nZGVm\n"), json!("YWJjZGVm")),
            (Scalar::Quantity, json!("1000m"), json!("1")),
            (Scalar::Quantity, json!("1024Mi"), json!("1Gi")),
            (Scalar::Quantity, json!("0.5"), json!("500m")),
            (Scalar::Quantity, json!("0.5Gi"), json!("512Mi")),
            (Scalar::Quantity, json!("1500M"), json!("1500M")),
            (Scalar::Quantity, json!(2), json!("2")),
            (Scalar::Quantity, json!(0.1), json!("100m")),
            (
                Scalar::Time,
                json!("2026-01-02T03:04:05+01:00"),
                json!("2026-01-02T02:04:05Z"),
            ),
            (
                Scalar::Time,
                json!("2026-01-02T03:04:05.7Z"),
                json!("2026-01-02T03:04:05Z"),
            ),
            (
                Scalar::MicroTime,
                json!("2026-01-02T03:04:05Z"),
                json!("2026-01-02T03:04:05.000000Z"),
            ),
        ] {
            let once = settled(scalar, given);
            assert_eq!(once, shown);
            assert_eq!(settled(scalar, once), shown, "a second time");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_for_the_rules() {
        for (scalar, value) in [
            (Scalar::Quantity, json!("1x")),
            (Scalar::Quantity, json!(true)),
            (Scalar::Time, json!("yesterday")),
            (Scalar::String, json!("1000m\n")),
        ] {
            assert_eq!(settled(scalar, value.clone()), value);
        }
    }
}
