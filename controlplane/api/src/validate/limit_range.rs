//! Rules for LimitRanges.

use std::collections::BTreeSet;

use serde_json::Value;

use super::resource_names;
use super::resources::{quantity, shown};
use crate::Quantity;
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;

const TYPES: [&str; 3] = ["Container", "PersistentVolumeClaim", "Pod"];
const RATIO: &str = "maxLimitRequestRatio";
const NOT_FOR_PODS: &str = "may not be specified when `type` is 'Pod'";

/// What is wrong with a LimitRange.
pub(crate) fn limit_range(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec.limits");
    let items = read::list(object, "spec.limits");
    let mut errors = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        let kind = read::text(item, "type");
        errors.extend(type_name(kind, &path.child("type")));
        if items
            .iter()
            .take(index)
            .any(|before| read::text(before, "type") == kind)
        {
            errors.push(path.child("type").duplicate(kind));
        }
        errors.extend(item_names(item, kind, &path));
        let found: BTreeSet<&String> = fields(kind)
            .iter()
            .flat_map(|field| read::map(item, field))
            .map(|(name, _)| name)
            .collect();
        for name in found {
            errors.extend(Amounts::of(item, kind, name).errors(name, &path));
        }
    }
    errors
}

fn type_name(kind: &str, path: &Path) -> Vec<FieldError> {
    let rules = names::qualified_name(kind);
    if rules.is_empty() && !kind.contains('/') && !TYPES.contains(&kind) {
        return vec![path.invalid(kind, "must be a standard limit type or fully qualified")];
    }
    rules.into_iter().map(|rule| path.invalid(kind, rule)).collect()
}

fn fields(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &["max", "min", RATIO],
        _ => &["max", "min", "default", "defaultRequest", RATIO],
    }
}

fn item_names(item: &Value, kind: &str, path: &Path) -> Vec<FieldError> {
    let named = match kind {
        "Pod" | "Container" => resource_names::of_container,
        _ => resource_names::any,
    };
    let names = |field: &str| -> Vec<FieldError> {
        let path = path.child(field);
        let found = read::map(item, field);
        found.flat_map(|(name, _)| named(name, &path.key(name))).collect()
    };
    let bounds = fields(kind).iter().filter(|field| **field != RATIO);
    let mut errors: Vec<FieldError> = bounds.flat_map(|field| names(field)).collect();
    for field in ["default", "defaultRequest"] {
        if kind == "Pod" && read::map(item, field).next().is_some() {
            errors.push(path.child(field).forbidden(NOT_FOR_PODS));
        }
    }
    let sized = ["min.storage", "max.storage"]
        .iter()
        .any(|field| read::present(item, field));
    if kind == "PersistentVolumeClaim" && !sized {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(path.child("limits").required(detail));
    }
    errors.extend(names(RATIO));
    errors
}

/// What an item says of one resource.
#[derive(Debug, Clone, Copy)]
struct Amounts {
    min: Option<Quantity>,
    max: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl Amounts {
    fn of(item: &Value, kind: &str, name: &str) -> Self {
        let read = |field: &str| {
            let amounts = fields(kind).contains(&field).then(|| item.get(field)).flatten();
            amounts.and_then(|amounts| amounts.get(name)).and_then(quantity)
        };
        Self {
            min: read("min"),
            max: read("max"),
            default: read("default"),
            request: read("defaultRequest"),
            ratio: read(RATIO),
        }
    }

    fn errors(&self, name: &str, path: &Path) -> Vec<FieldError> {
        let mut errors = self.order(name, path);
        errors.extend(self.ratio(name, path));
        if let (Some(default), Some(request)) = (self.default, self.request)
            && resource_names::is_fixed(name)
            && default != request
        {
            let detail =
                format!("default value {default} must equal to defaultRequest value {request} in {name}");
            errors.push(invalid("defaultRequest", request, detail, name, path));
        }
        errors
    }

    /// Minimum, default request, default and maximum rise in this order.
    fn order(&self, name: &str, path: &Path) -> Vec<FieldError> {
        let (min, max, default, request) = (
            (self.min, "min value"),
            (self.max, "max value"),
            (self.default, "default value"),
            (self.request, "default request value"),
        );
        let limit = (self.default, "default limit value");
        // Which must not be above which, the field that is to blame, and whether the first amount is shown.
        let rules = [
            (min, max, "min", true),
            (min, request, "defaultRequest", false),
            (request, max, "defaultRequest", true),
            (request, limit, "defaultRequest", true),
            (min, default, "default", true),
            (default, max, "default", false),
        ];
        let broken = rules
            .into_iter()
            .filter_map(|((low, low_name), (high, high_name), field, first)| {
                let (low, high) = (low?, high?);
                let detail = format!("{low_name} {low} is greater than {high_name} {high}");
                let bad = if first { low } else { high };
                (low > high).then(|| invalid(field, bad, detail, name, path))
            });
        broken.collect()
    }

    fn ratio(&self, name: &str, path: &Path) -> Vec<FieldError> {
        let Some(ratio) = self.ratio else {
            return Vec::new();
        };
        let mut errors = Vec::new();
        if ratio.as_f64() < 1.0 {
            let detail = format!("ratio {ratio} is less than 1");
            errors.push(invalid(RATIO, ratio, detail, name, path));
        }
        if let (Some(min), Some(max)) = (self.min, self.max) {
            let most = max.as_f64() / min.as_f64();
            if ratio.as_f64() > most {
                let detail = format!("ratio {ratio} is greater than max/min = {most:.6}");
                errors.push(invalid(RATIO, ratio, detail, name, path));
            }
        }
        errors
    }
}

fn invalid(field: &str, bad: Quantity, detail: String, name: &str, path: &Path) -> FieldError {
    path.child(field)
        .key(name)
        .invalid(shown(&bad.to_string().into()), detail)
}
