//! What an autoscaler aims at and where it is, in a cell: `cpu: 12%/80%, 100m/1k`.

use serde_json::Value;

use crate::read;
use crate::resource::at;
use crate::validate::resources;

const SHOWN: usize = 2;
const UNKNOWN: &str = "<unknown>";

/// The first two metrics, and how many more there are.
pub(super) fn shown(object: &Value) -> String {
    let metrics = read::list(object, "spec.metrics");
    if metrics.is_empty() {
        return "<none>".to_owned();
    }
    let statuses = read::list(object, "status.currentMetrics");
    let cells: Vec<String> = metrics
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(index, metric)| one(metric, statuses.get(index)))
        .collect();
    let joined = cells.join(", ");
    match metrics.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{joined} + {more} more..."),
        _ => joined,
    }
}

fn one(metric: &Value, status: Option<&Value>) -> String {
    let field = match read::text(metric, "type") {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let target = |value: &str| at(metric, &format!("{field}.target.{value}"));
    let current = |value: &str| {
        status
            .and_then(|status| at(status, &format!("{field}.current.{value}")))
            .filter(|value| !value.is_null())
    };
    let amount = |value: &str| current(value).map_or_else(|| UNKNOWN.to_owned(), quantity);
    let averaged = target("averageValue").filter(|value| !value.is_null());
    let name = read::text(metric, &format!("{field}.name"));
    match (field, averaged) {
        ("resource" | "containerResource", Some(wanted)) => {
            format!("{name}: {}/{}", amount("averageValue"), quantity(wanted))
        }
        ("resource" | "containerResource", None) => {
            let share = |value: Option<&Value>, none: &str| {
                value
                    .and_then(Value::as_i64)
                    .map_or_else(|| none.to_owned(), |share| format!("{share}%"))
            };
            let now = share(current("averageUtilization"), UNKNOWN);
            format!("{name}: {now}/{}", share(target("averageUtilization"), "<auto>"))
        }
        ("pods", wanted) => format!(
            "{}/{}",
            amount("averageValue"),
            wanted.map(quantity).unwrap_or_default()
        ),
        (_, Some(wanted)) => format!("{}/{} (avg)", amount("averageValue"), quantity(wanted)),
        (_, None) => format!(
            "{}/{}",
            amount("value"),
            target("value").map(quantity).unwrap_or_default()
        ),
    }
}

fn quantity(value: &Value) -> String {
    match resources::shown(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
