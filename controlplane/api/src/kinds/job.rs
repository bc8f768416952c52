//! Jobs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{self, label_selector};
use super::define::{age, kind, name, text};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;
use crate::resource::{Column, Resource, SelectableField};
use crate::strategy::{Context, Strategy};
use crate::time;
use crate::validate::{job, pod};

pub(super) fn resource() -> Resource {
    kind("batch", "v1", "Job", "jobs")
        .in_category("all")
        .with_status()
        .shown_by(columns())
        .selected_by(vec![SelectableField::computed("status.successful", |object| {
            read::count(object, "status.succeeded").to_string()
        })])
        .ruled_by(Rules)
}

fn columns() -> Vec<Column> {
    vec![
        name(),
        text("Status", "Status of the job.", |object, _| state(object).into()),
        text(
            "Completions",
            "The number of pods which reached phase Succeeded. The value increases monotonically for a given \
             spec. However, it may decrease in reaction to scale down of elastic indexed jobs.",
            completions,
        ),
        text("Duration", "Time required to complete the job.", duration),
        age(),
        cells::template_containers(),
        cells::template_images(),
        text(
            "Selector",
            "A label query over pods that should match the pod count. Normally, the system sets this field \
             for you. More info: \
             https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
            label_selector,
        )
        .wide(),
    ]
}

fn state(object: &Value) -> &'static str {
    let is = |kind: &str| {
        read::condition(object, kind).is_some_and(|condition| read::text(condition, "status") == "True")
    };
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if meta::deletion_timestamp(object).is_some() => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () => "Running",
    }
}

fn completions(object: &Value, _: Timestamp) -> Value {
    let done = read::count(object, "status.succeeded");
    let parallel = read::count(object, "spec.parallelism");
    match read::integer(object, "spec.completions") {
        Some(wanted) => format!("{done}/{wanted}").into(),
        None if parallel > 1 => format!("{done}/1 of {parallel}").into(),
        None => format!("{done}/1").into(),
    }
}

fn duration(object: &Value, now: Timestamp) -> Value {
    let read = |field| time::parse(read::text(object, field));
    let Some(start) = read("status.startTime") else {
        return "".into();
    };
    let end = read("status.completionTime").unwrap_or(now);
    time::human_duration(end.as_second() - start.as_second()).into()
}

/// Labels and a selector that no other job has, unless the user gives them.
fn generate_selector(object: &mut Value) {
    if read::flag(object, "spec.manualSelector") {
        return;
    }
    let (uid, name) = (meta::uid(object).to_owned(), meta::name(object).to_owned());
    let spec = meta::member_mut(object, "spec");
    let metadata = meta::member_mut(meta::member_mut(spec, "template"), "metadata");
    let labels = meta::object_mut(meta::member_mut(metadata, "labels"));
    for (key, value) in [
        (job::OLD_NAME, &name),
        (job::NAME, &name),
        (job::OLD_UID, &uid),
        (job::UID, &uid),
    ] {
        labels.entry(key).or_insert_with(|| value.as_str().into());
    }
    let selector = meta::member_mut(spec, "selector");
    let chosen = meta::object_mut(meta::member_mut(selector, "matchLabels"));
    chosen.entry(job::UID).or_insert_with(|| uid.into());
}

/// A job without labels has those of its pods. Upstream fills them in whenever it reads one, generated ones, too.
fn take_labels(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    if let Some(labels) = labels.filter(|_| meta::labels(object).is_empty()) {
        meta::set(object, "labels", labels);
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        meta::object_mut(object).insert("status".to_owned(), json!({}));
        generate_selector(object);
        take_labels(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        job::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        job::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        job::status_update(new, old)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_some_and(|old| old.get("spec") == new.get("spec")) {
            return Vec::new();
        }
        let spec = new.get("spec").unwrap_or(&Value::Null);
        let mut warnings: Vec<String> = pod::warnings::of_name(new, old).into_iter().collect();
        warnings.extend(job::warnings(spec, &Path::new("spec")));
        warnings.extend(pod::warnings::of_template(new, old));
        warnings
    }
}
