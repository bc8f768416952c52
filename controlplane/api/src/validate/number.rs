//! Rules for numbers.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::read;

/// Upstream's words for a number below zero.
pub(crate) const NON_NEGATIVE: &str = "must be greater than or equal to 0";

/// What is wrong with the number `field` of `object`, where it must not be below zero.
pub(crate) fn non_negative(object: &Value, field: &str, path: &Path) -> Option<FieldError> {
    at_least(object, field, path, 0, NON_NEGATIVE)
}

/// What is wrong with the number `field` of `object`, where it must not be below `least`.
pub(crate) fn at_least(
    object: &Value,
    field: &str,
    path: &Path,
    least: i64,
    rule: &str,
) -> Option<FieldError> {
    let number = read::integer(object, field)?;
    (number < least).then(|| path.child(field).invalid(number, rule))
}

/// An `IntOrString` as a plain number or as a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// `3`.
    Count(i64),
    /// `25%`.
    Percent(i64),
}

/// Reads a number or a percentage; nothing where the text is neither.
pub(crate) fn amount(value: &Value) -> Option<Amount> {
    match value {
        Value::Number(number) => number.as_i64().map(Amount::Count),
        Value::String(text) => {
            let digits = text.strip_suffix('%').filter(|digits| !digits.is_empty())?;
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())
                .flatten()
                .map(Amount::Percent)
        }
        _ => None,
    }
}

/// What is wrong with a number or percentage that must not be below zero.
pub(crate) fn amount_errors(value: &Value, path: &Path) -> Option<FieldError> {
    match (amount(value), value) {
        (Some(Amount::Count(count)), _) if count < 0 => Some(path.invalid(count, NON_NEGATIVE)),
        (Some(_), _) => None,
        (None, value) => Some(path.invalid(
            value.clone(),
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
             regex used for validation is '[0-9]+%')",
        )),
    }
}

/// What is wrong with the number or percentage `field` of `object`, which must not be more than all.
pub(crate) fn share(object: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let path = path.child(field);
    let Some(value) = object.get(field).filter(|value| !value.is_null()) else {
        return Vec::new();
    };
    let mut errors: Vec<FieldError> = amount_errors(value, &path).into_iter().collect();
    errors.extend(above_all(value, &path));
    errors
}

/// A percentage is at most 100.
pub(crate) fn above_all(value: &Value, path: &Path) -> Option<FieldError> {
    matches!(amount(value), Some(Amount::Percent(percent)) if percent > 100)
        .then(|| path.invalid(value.clone(), "must not be greater than 100%"))
}

/// Whether the number or percentage `field` of `object` comes to nothing; what is neither does, but for a number
/// in quotes, which is refused for its form and counts all the same.
pub(crate) fn is_none(object: &Value, field: &str) -> bool {
    let value = object.get(field);
    match value.and_then(amount) {
        Some(Amount::Count(number) | Amount::Percent(number)) => number == 0,
        None => {
            let text = value.and_then(Value::as_str).unwrap_or_default();
            text.parse::<i64>().unwrap_or(0) == 0
        }
    }
}
