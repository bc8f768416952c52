//! How much of a shared device one request may take.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::quantity::Quantity;
use crate::read;
use crate::validate::resources::quantity;

const MAX_OPTIONS: usize = 10;

/// What is wrong with a device's capacity; only what is shared has a policy.
pub(super) fn capacity(capacity: &Value, shared: bool, path: &Path) -> Vec<FieldError> {
    let Some(policy) = capacity.get("requestPolicy").filter(|policy| !policy.is_null()) else {
        return Vec::new();
    };
    let path = path.child("requestPolicy");
    if !shared {
        return vec![path.forbidden("allowMultipleAllocations must be true")];
    }
    let Some(whole) = amount(capacity, "value") else {
        return Vec::new();
    };
    let values = read::list(policy, "validValues");
    let range = policy.get("validRange").filter(|range| !range.is_null());
    if !values.is_empty() && range.is_some() {
        let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same \
                      time";
        return vec![path.forbidden(detail)];
    }
    let given = match (values.is_empty(), range) {
        (false, _) => "validValues",
        (true, Some(_)) => "validRange",
        (true, None) => return Vec::new(),
    };
    let Some(default) = amount(policy, "default") else {
        let detail = format!("required when {given} is defined");
        return vec![path.child("default").required(detail)];
    };
    match range {
        Some(range) => self::range(range, default, whole, &path.child(given)),
        None => options(values, default, whole, &path.child(given)),
    }
}

fn amount(object: &Value, field: &str) -> Option<Quantity> {
    object.get(field).and_then(quantity)
}

fn options(values: &[Value], default: Quantity, whole: Quantity, path: &Path) -> Vec<FieldError> {
    let amounts: Vec<Quantity> = values.iter().filter_map(quantity).collect();
    let mut errors = Vec::new();
    for (index, pair) in amounts.windows(2).enumerate() {
        if let [before, after] = pair
            && before > after
        {
            let detail = "values must be sorted in ascending order";
            errors.push(path.index(index + 1).invalid(after.to_string(), detail));
        }
    }
    if values.len() > MAX_OPTIONS {
        errors.push(path.too_many(values.len(), MAX_OPTIONS));
    } else {
        for (index, option) in amounts.iter().enumerate().filter(|(_, option)| **option > whole) {
            let detail = format!("option is larger than capacity value: {whole}");
            errors.push(path.index(index).invalid(option.to_string(), detail));
        }
        for (index, option) in amounts.iter().enumerate() {
            if amounts.iter().take(index).any(|before| before == option) {
                errors.push(path.index(index).duplicate(option.bytes().to_string()));
            }
        }
    }
    if !amounts.contains(&default) {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(path.invalid(default.to_string(), detail));
    }
    errors
}

fn range(range: &Value, default: Quantity, whole: Quantity, path: &Path) -> Vec<FieldError> {
    let Some(min) = amount(range, "min") else {
        return vec![path.child("min").required("required when validRange is defined")];
    };
    let mut errors = Vec::new();
    let mut wrong = |field: &str, is: bool, value: Quantity, detail: String| {
        if is {
            errors.push(path.child(field).invalid(value.to_string(), detail));
        }
    };
    let larger = |what: &str| format!("{what} is larger than capacity value: {whole}");
    wrong("min", min > whole, min, larger("min"));
    wrong(
        "min",
        default < min,
        default,
        format!("default is less than min: {min}"),
    );
    let max = amount(range, "max");
    if let Some(max) = max {
        wrong("max", min > max, min, format!("min is larger than max: {max}"));
        wrong("max", max > whole, max, larger("max"));
        wrong(
            "max",
            default > max,
            default,
            format!("default is more than max: {max}"),
        );
    }
    if let Some(step) = amount(range, "step") {
        let one = min.plus(step);
        wrong("step", one > whole, step, larger(&format!("one step {one}")));
        for value in [Some(default), max].into_iter().flatten() {
            let off = value.bytes().saturating_sub(min.bytes());
            let uneven = off.checked_rem(step.bytes()).is_none_or(|rest| rest != 0);
            let detail = format!("value is not a multiple of a given step ({step}) from ({min})");
            wrong("step", uneven, value, detail);
        }
    }
    errors
}
