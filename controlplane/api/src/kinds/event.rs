//! Events, which two API groups serve from one store.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::define::{body, field, kind, name, text};
use crate::field::FieldError;
use crate::read;
use crate::resource::{Column, Resource, SelectableField, Storage};
use crate::strategy::Strategy;
use crate::time;
use crate::validate::event;

/// How long an event is kept.
const LIFE: Duration = Duration::from_secs(3600);

// Upstream's descriptions of columns, to the letter.
const SUBOBJECT_HELP: &str = "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go \
    field access statement, such as desiredState.manifest.containers[2]. For example, if the object reference is \
    to a container within a pod, this would take on a value like: \"spec.containers{name}\" (where \"name\" \
    refers to the name of the container that triggered the event) or if no container name is specified \
    \"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have some \
    well-defined way of referencing a part of an object.";

/// `v1`: also the stored form.
pub(super) fn core() -> Resource {
    shared(kind("", "v1", "Event", "events").ruled_by(Rules { form: Form::Core })).selected_by(selectable())
}

/// `events.k8s.io/v1`: the same events with other names for their fields.
pub(super) fn events() -> Resource {
    let resource =
        shared(kind("events.k8s.io", "v1", "Event", "events").ruled_by(Rules { form: Form::Events }))
            .selected_by(selectable_in_events());
    let storage = Storage {
        form: body("", "v1", "Event"),
        resource: Cow::Borrowed("events"),
        encode: to_core,
        decode: to_events,
    };
    Resource {
        storage: Some(storage),
        ..resource
    }
}

fn shared(resource: Resource) -> Resource {
    let resource = resource.short(&["ev"]).shown_by(columns());
    Resource {
        ttl: Some(LIFE),
        create_on_update: true,
        ..resource
    }
}

/// What the stored form calls the members that both groups select by under other names, and what `events.k8s.io` does.
const LABELS: [(&str, &str); 8] = [
    ("involvedObject.kind", "regarding.kind"),
    ("involvedObject.namespace", "regarding.namespace"),
    ("involvedObject.name", "regarding.name"),
    ("involvedObject.uid", "regarding.uid"),
    ("involvedObject.apiVersion", "regarding.apiVersion"),
    ("involvedObject.resourceVersion", "regarding.resourceVersion"),
    ("involvedObject.fieldPath", "regarding.fieldPath"),
    ("reportingComponent", "reportingController"),
];
const SAME: [&str; 2] = ["reason", "type"];

fn selectable() -> Vec<SelectableField> {
    let renamed = LABELS.iter().map(|(stored, _)| *stored);
    let mut fields: Vec<SelectableField> = renamed.chain(SAME).map(SelectableField::path).collect();
    fields.push(SelectableField::computed("source", |event| {
        match read::text(event, "source.component") {
            "" => read::text(event, "reportingComponent"),
            component => component,
        }
        .to_owned()
    }));
    fields
}

fn selectable_in_events() -> Vec<SelectableField> {
    let renamed = LABELS.iter().map(|(stored, label)| SelectableField {
        label: Cow::Borrowed(label),
        ..SelectableField::path(stored)
    });
    renamed.chain(SAME.map(SelectableField::path)).collect()
}

fn columns() -> Vec<Column> {
    vec![
        text(
            "Last Seen",
            "The time at which the most recent occurrence of this event was recorded.",
            last_seen,
        ),
        field(
            "Type",
            "type",
            "Type of this event (Normal, Warning), new types could be added in the future",
        ),
        field(
            "Reason",
            "reason",
            "This should be a short, machine understandable string that gives the reason for the transition \
             into the object's current status.",
        ),
        text("Object", "The object that this event is about.", object),
        text("Subobject", SUBOBJECT_HELP, |event, _| {
            read::text(event, "involvedObject.fieldPath").into()
        })
        .wide(),
        text(
            "Source",
            "The component reporting this event. Should be a short machine understandable string.",
            source,
        )
        .wide(),
        text(
            "Message",
            "A human-readable description of the status of this operation.",
            |event, _| read::text(event, "message").trim().into(),
        ),
        text(
            "First Seen",
            "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)",
            |event, now| first_seen(event, now).into(),
        )
        .wide(),
        text("Count", "The number of times this event has occurred.", count).wide(),
        Column {
            priority: 1,
            ..name()
        },
    ]
}

fn present<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    crate::resource::at(event, path).filter(|value| !value.is_null())
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    time::age(
        present(event, "firstTimestamp").or_else(|| present(event, "eventTime")),
        now,
    )
}

fn last_seen(event: &Value, now: Timestamp) -> Value {
    if let Some(last) = present(event, "series.lastObservedTime") {
        return time::age(Some(last), now).into();
    }
    match present(event, "lastTimestamp") {
        Some(last) => time::age(Some(last), now).into(),
        None => first_seen(event, now).into(),
    }
}

fn object(event: &Value, _: Timestamp) -> Value {
    let kind = read::text(event, "involvedObject.kind").to_lowercase();
    match read::text(event, "involvedObject.name") {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

fn source(event: &Value, _: Timestamp) -> Value {
    let either = |first: &str, second: &str| match read::text(event, first) {
        "" => read::text(event, second).to_owned(),
        text => text.to_owned(),
    };
    let parts = [
        either("source.component", "reportingComponent"),
        either("source.host", "reportingInstance"),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ").into()
}

fn count(event: &Value, _: Timestamp) -> Value {
    let counted = read::integer(event, "series.count").unwrap_or_else(|| read::count(event, "count"));
    counted.max(1).into()
}

/// Names of the same field in `events.k8s.io/v1` and in `v1`.
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn to_core(event: &mut Value) {
    rename(event, "v1", RENAMED);
    if let Some(map) = event.as_object_mut() {
        // What the core form always has, as upstream's types print it.
        map.entry("reportingComponent").or_insert_with(|| "".into());
        map.entry("reportingInstance").or_insert_with(|| "".into());
    }
}

fn to_events(event: &mut Value) {
    rename(
        event,
        "events.k8s.io/v1",
        RENAMED.map(|(events, core)| (core, events)),
    );
}

fn rename(event: &mut Value, api_version: &str, names: [(&str, &str); 7]) {
    let Some(map) = event.as_object_mut() else { return };
    for (from, to) in names {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
    map.insert("apiVersion".to_owned(), api_version.into());
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Core,
    Events,
}

/// Events of the new group must be complete; those of core may be old ones.
#[derive(Debug)]
struct Rules {
    form: Form,
}

impl Rules {
    fn reporter(&self) -> &'static str {
        match self.form {
            Form::Core => "reportingComponent",
            Form::Events => "reportingController",
        }
    }
}

impl Strategy for Rules {
    fn prepare_create(&self, _: &mut Value, _: &crate::strategy::Context) {}

    fn prepare_update(&self, _: &mut Value, _: &Value, _: &crate::strategy::Context) {}

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = event::either(object, self.reporter());
        if self.form == Form::Events {
            errors.extend(event::newer(object));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = event::either(new, self.reporter());
        if self.form == Form::Events {
            errors.extend(event::changed(new, old));
        }
        errors
    }
}
