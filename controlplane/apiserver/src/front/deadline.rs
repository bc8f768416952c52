//! How long a request may take.

use std::time::Duration;

use axum::response::Response;
use controlplane_api::ApiError;

use super::info::{Info, Length};
use crate::reply;

/// What a request may take that asks for nothing else, and the most it can ask for; upstream's `--request-timeout`.
pub(super) const DEFAULT: Duration = Duration::from_secs(60);

/// The time that a request has; none for long ones, which end by themselves.
///
/// # Errors
///
/// 400 for a `timeout` that is no duration.
pub(super) fn of(info: &Info) -> Result<Option<Duration>, ApiError> {
    if info.length != Length::Short {
        return Ok(None);
    }
    let asked = match info.query.get("timeout") {
        None => Duration::ZERO,
        Some(text) => parse(text).map_err(|error| {
            ApiError::bad_request(format!(
                "invalid timeout specified in the request URL - time: {error}"
            ))
        })?,
    };
    Ok(Some(match asked.is_zero() {
        true => DEFAULT,
        false => asked.min(DEFAULT),
    }))
}

/// Waits for an answer; a write that has begun goes on to its end, and its outcome is not told.
pub(super) async fn hold(allowed: Option<Duration>, answer: impl Future<Output = Response>) -> Response {
    let Some(allowed) = allowed else {
        return answer.await;
    };
    tokio::time::timeout(allowed, answer).await.unwrap_or_else(|_| {
        reply::failure(ApiError::timeout(
            "request did not complete within the allotted timeout",
        ))
    })
}

/// Why a text is no duration, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum NoDuration {
    #[error("invalid duration {0:?}")]
    Invalid(String),
    #[error("missing unit in duration {0:?}")]
    NoUnit(String),
    #[error("unknown unit {0:?} in duration {1:?}")]
    UnknownUnit(String, String),
}

/// A duration as Go's `time.ParseDuration` reads it, such as `1m30s`. One below zero asks for nothing, as zero does.
fn parse(text: &str) -> Result<Duration, NoDuration> {
    let invalid = || NoDuration::Invalid(text.to_owned());
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end).ok_or_else(invalid)?;
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = after.find(is_number).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or_else(invalid)?;
        if unit.is_empty() {
            return Err(NoDuration::NoUnit(text.to_owned()));
        }
        let one =
            seconds_in(unit).ok_or_else(|| NoDuration::UnknownUnit(unit.to_owned(), text.to_owned()))?;
        let part = Duration::try_from_secs_f64(number * one).map_err(|_| invalid())?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(if text.starts_with('-') {
        Duration::ZERO
    } else {
        total
    })
}

fn seconds_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let table = [
            ("30s", Ok(30_000)),
            ("1m30s", Ok(90_000)),
            ("1.5s", Ok(1500)),
            ("250ms", Ok(250)),
            ("0", Ok(0)),
            ("-1s", Ok(0)),
            ("1h", Ok(3_600_000)),
            ("5", Err("missing unit in duration \"5\"")),
            ("s", Err("invalid duration \"s\"")),
            ("1x", Err("unknown unit \"x\" in duration \"1x\"")),
            ("", Err("invalid duration \"\"")),
            (
                "9999999999999999999999h",
                Err("invalid duration \"9999999999999999999999h\""),
            ),
        ];
        for (text, expected) in table {
            let found = parse(text).map_err(|error| error.to_string());
            let expected = expected.map(Duration::from_millis).map_err(str::to_owned);
            assert_eq!(found, expected, "{text}");
        }
    }
}
