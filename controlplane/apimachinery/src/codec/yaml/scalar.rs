//! What a scalar means: Go's `yaml` in its second version takes YAML 1.1's truth values and octal numbers.

use saphyr_parser::Tag;
use serde_json::{Number, Value};

/// Floats from here on are written with an exponent by Go, so they are no integers for those who read its JSON.
const FLOAT: f64 = 1e21;

/// What a scalar is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meant {
    Value(Value),
    /// `.nan` and infinities.
    NotANumber,
}

/// What `text` means; `plain` where it stands without quotes. An error is the name of a tag that does not fit.
pub(super) fn resolve(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Meant, String> {
    let string = || Meant::Value(Value::String(text.to_owned()));
    let Some(tag) = tag else {
        return Ok(if plain { implied(text) } else { string() });
    };
    if !tag.is_yaml_core_schema() {
        return Ok(string());
    }
    let meant = implied(text);
    let fits = match (tag.suffix.as_str(), &meant) {
        ("str" | "timestamp", _) => return Ok(string()),
        ("null", Meant::Value(Value::Null)) | ("bool", Meant::Value(Value::Bool(_))) => true,
        ("int", Meant::Value(Value::Number(number))) => !number.is_f64(),
        ("float", Meant::Value(Value::Number(_)) | Meant::NotANumber) => true,
        _ => false,
    };
    if fits {
        Ok(meant)
    } else {
        Err(format!("!!{}", tag.suffix))
    }
}

/// What text without quotes and tag means.
pub(super) fn implied(text: &str) -> Meant {
    Meant::Value(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => return Meant::NotANumber,
        _ => match number(text) {
            Some(number) => Value::Number(number),
            None => text.into(),
        },
    })
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return None;
    }
    if text.starts_with('.') && text.contains('_') {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits))
}

/// As Go's `ParseInt` and `ParseUint` read numbers whose base stands before them.
fn integer(digits: &str) -> Option<Number> {
    let (sign, unsigned) = match digits.as_bytes().first()? {
        b'-' => ("-", digits.get(1..)?),
        b'+' => ("", digits.get(1..)?),
        _ => ("", digits),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (base, rest) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..)?),
        Some("0o") => (8, lower.get(2..)?),
        Some("0b") => (2, lower.get(2..)?),
        Some(_) if lower.starts_with('0') => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if !rest.starts_with(|first: char| first.is_digit(base)) {
        return None;
    }
    if let Ok(number) = i64::from_str_radix(&format!("{sign}{rest}"), base) {
        return Some(number.into());
    }
    // Only what has no sign is read as an unsigned number.
    u64::from_str_radix(rest, base)
        .ok()
        .filter(|_| unsigned.len() == digits.len())
        .map(Number::from)
}

/// A float as YAML writes it; whole ones are integers, as Go writes them into JSON.
fn float(digits: &str) -> Option<Number> {
    let looks = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value: f64 = digits.parse().ok().filter(|_| looks)?;
    if value.fract() == 0.0
        && value.abs() < FLOAT
        && let Ok(whole) = format!("{value:.0}").parse::<i64>()
    {
        return Some(whole.into());
    }
    Number::from_f64(value)
}
