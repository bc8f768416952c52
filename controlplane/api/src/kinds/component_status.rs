//! ComponentStatuses: how upstream's parts were once asked for their health. Nothing writes them.

use jiff::Timestamp;
use serde_json::Value;

use super::define::{kind, name, text};
use crate::read;
use crate::resource::{Resource, Verb};

pub(super) fn resource() -> Resource {
    let resource = kind("", "v1", "ComponentStatus", "componentstatuses")
        .cluster_wide()
        .short(&["cs"])
        .shown_by(vec![
            name(),
            text("Status", "Status of the component conditions", status),
            text("Message", "Message of the component conditions", |object, _| {
                part(object, "message")
            }),
            text("Error", "Error of the component conditions", |object, _| {
                part(object, "error")
            }),
        ]);
    Resource {
        verbs: vec![Verb::Get, Verb::List],
        warning: Some("v1 ComponentStatus is deprecated in v1.19+".into()),
        ..resource
    }
}

fn healthy(object: &Value) -> Option<&Value> {
    read::list(object, "conditions")
        .iter()
        .find(|condition| read::text(condition, "type") == "Healthy")
}

fn status(object: &Value, _: Timestamp) -> Value {
    match healthy(object).map(|condition| read::text(condition, "status")) {
        Some("True") => "Healthy".into(),
        Some(_) => "Unhealthy".into(),
        None => "Unknown".into(),
    }
}

fn part(object: &Value, field: &str) -> Value {
    healthy(object)
        .map(|condition| read::text(condition, field))
        .unwrap_or_default()
        .into()
}
