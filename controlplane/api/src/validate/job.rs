//! Rules for Jobs, and for the jobs that CronJobs make.

mod indexes;
mod policies;
mod status;

use serde_json::{Map, Value, json};

pub(crate) use status::status_update;

use super::workload::label_selector_errors;
use super::{change, inner_form, metadata, naming, number, template};
use crate::field::{FieldError, Path, quote};
use crate::meta;
use crate::names;
use crate::read;
use crate::resource::at;
use crate::selector::LabelSelector;

pub(crate) const OLD_NAME: &str = "job-name";
pub(crate) const OLD_UID: &str = "controller-uid";
pub(crate) const NAME: &str = "batch.kubernetes.io/job-name";
pub(crate) const UID: &str = "batch.kubernetes.io/controller-uid";

const MOST_PARALLEL: i64 = 100_000;
const MOST_FAILED: i64 = 100_000;
const MANY_COMPLETIONS: i64 = 100_000;
const PARALLEL_OF_MANY: i64 = 10_000;
const FAILED_OF_MANY: i64 = 10_000;
const MODES: [&str; 2] = ["NonIndexed", "Indexed"];

/// What is wrong with a new job.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    job(object, true)
}

/// `labelled` says whether the labels with a domain must be there, which jobs of before lack.
fn job(object: &Value, labelled: bool) -> Vec<FieldError> {
    let mut errors = generated(object, labelled);
    errors.extend(whole_spec(object));
    errors.extend(host_name(object));
    errors
}

fn whole_spec(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let mut errors = job_spec(spec, &path);
    errors.extend(selector(spec, &path));
    errors
}

fn selector(spec: &Value, path: &Path) -> Vec<FieldError> {
    let Some(raw) = spec.get("selector").filter(|raw| !raw.is_null()) else {
        let mut errors = vec![path.child("selector").required("")];
        errors.extend(template::fits(spec, &LabelSelector::nothing(), path));
        return errors;
    };
    let mut errors = label_selector_errors(raw, &path.child("selector"));
    if let Ok(selector) = LabelSelector::from_json(raw) {
        errors.extend(template::fits(spec, &selector, path));
    }
    errors
}

/// An indexed job's pods are named after it and their index.
fn host_name(object: &Value) -> Option<FieldError> {
    let (name, count) = (meta::name(object), read::count(object, "spec.completions"));
    if read::text(object, "spec.completionMode") != "Indexed" || count <= 0 {
        return None;
    }
    let longest = format!("{name}-{}", count - 1);
    let detail = format!("will not able to create pod with invalid DNS label: {longest}");
    let broken = names::dns_label(&longest);
    (!broken.is_empty()).then(|| Path::new("metadata.name").invalid(name, detail))
}

/// Labels and selector that the server gave the job must still be those.
fn generated(object: &Value, labelled: bool) -> Vec<FieldError> {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    if read::flag(spec, "manualSelector") || !read::present(spec, "selector") {
        return Vec::new();
    }
    let (uid, name) = (meta::uid(object), meta::name(object));
    let mut wanted = vec![(OLD_UID, uid), (OLD_NAME, name)];
    if labelled {
        wanted.extend([(UID, uid), (NAME, name)]);
    }
    let labels = spec.get("template").map(meta::labels).unwrap_or_default();
    let path = Path::new("spec.template.metadata.labels");
    let mut errors = Vec::new();
    for (key, value) in &wanted {
        let detail = format!("must be '{value}'");
        match labels.get(*key) {
            Some(found) if found == value => {}
            Some(_) => errors.push(path.key(key).invalid(json!(labels), detail)),
            None => errors.push(path.key(key).required(detail)),
        }
    }
    let expected = wanted
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let raw = spec.get("selector").unwrap_or(&Value::Null);
    if LabelSelector::from_json(raw).is_ok_and(|selector| !selector.matches(&expected)) {
        let error = Path::new("spec.selector").invalid(raw.clone(), "`selector` not auto-generated");
        errors.push(error.shown_as(inner_form::shown(Some(raw), inner_form::LABEL_SELECTOR)));
    }
    errors
}

/// What is wrong with a job's spec, beside its selector.
pub(super) fn job_spec(spec: &Value, path: &Path) -> Vec<FieldError> {
    const COUNTS: [&str; 7] = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    let mut errors: Vec<FieldError> = COUNTS
        .iter()
        .filter_map(|field| number::non_negative(spec, field, path))
        .collect();
    if read::present(spec, "maxFailedIndexes") && !read::present(spec, "backoffLimitPerIndex") {
        let detail = "when maxFailedIndexes is specified";
        errors.push(path.child("backoffLimitPerIndex").required(detail));
    }
    errors.extend(managed_by(spec, &path.child("managedBy")));
    errors.extend(mode(spec, path));
    errors.extend(policies::all(spec, path));
    errors.extend(template::pods(spec, path));
    errors.extend(restart_policy(spec, &path.child("template.spec.restartPolicy")));
    errors
}

fn managed_by(spec: &Value, path: &Path) -> Vec<FieldError> {
    const LONGEST: usize = 63;
    let Some(manager) = spec.get("managedBy").and_then(Value::as_str) else {
        return Vec::new();
    };
    let mut errors = naming::domain_path(manager, path);
    if manager.len() > LONGEST {
        errors.push(path.too_long(LONGEST));
    }
    errors
}

fn mode(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mode = read::text(spec, "completionMode");
    let mut errors = Vec::new();
    if read::present(spec, "completionMode") && !MODES.contains(&mode) {
        errors.push(path.child("completionMode").not_supported(mode, &MODES));
    }
    match mode {
        "Indexed" => errors.extend(indexed(spec, path)),
        "NonIndexed" | "" => errors.extend(
            ["backoffLimitPerIndex", "maxFailedIndexes"]
                .into_iter()
                .filter_map(|field| {
                    let number = read::integer(spec, field)?;
                    Some(
                        path.child(field)
                            .invalid(number, "requires indexed completion mode"),
                    )
                }),
        ),
        _ => {}
    }
    errors
}

/// Bounds that keep the lists of indexes in the status short.
fn indexed(spec: &Value, path: &Path) -> Vec<FieldError> {
    let number = |field: &str| read::integer(spec, field);
    let (completions, parallel, failed) = (
        number("completions"),
        number("parallelism"),
        number("maxFailedIndexes"),
    );
    let mut errors = Vec::new();
    let mut at_most = |field: &str, value: Option<i64>, most: i64, detail: String| {
        if let Some(value) = value.filter(|value| *value > most) {
            errors.push(path.child(field).invalid(value, detail));
        }
    };
    let rule = format!("must be less than or equal to {MOST_PARALLEL} when completion mode is Indexed");
    at_most("parallelism", parallel, MOST_PARALLEL, rule);
    if let Some(completions) = completions {
        let rule = "must be less than or equal to completions".to_owned();
        at_most("maxFailedIndexes", failed, completions, rule);
    }
    let rule = format!("must be less than or equal to {MOST_FAILED}");
    at_most("maxFailedIndexes", failed, MOST_FAILED, rule);
    let many = completions.is_some_and(|completions| completions > MANY_COMPLETIONS);
    let per_index = read::present(spec, "backoffLimitPerIndex");
    if many && per_index {
        let rule = |most: i64| {
            format!(
                "must be less than or equal to {most} when completions are above {MANY_COMPLETIONS} and used with \
                 backoff limit per index"
            )
        };
        at_most("parallelism", parallel, PARALLEL_OF_MANY, rule(PARALLEL_OF_MANY));
        at_most("maxFailedIndexes", failed, FAILED_OF_MANY, rule(FAILED_OF_MANY));
        if failed.is_none() {
            let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            let error = path.child("maxFailedIndexes").required(detail);
            // Upstream says it before the bounds of jobs with as many indexes.
            let place = usize::from(parallel.is_some_and(|parallel| parallel > MOST_PARALLEL));
            errors.insert(place, error);
        }
    }
    if completions.is_none() {
        let detail = "when completion mode is Indexed";
        errors.insert(0, path.child("completions").required(detail));
    }
    errors
}

fn restart_policy(spec: &Value, path: &Path) -> Option<FieldError> {
    match read::text(spec, "template.spec.restartPolicy") {
        "Always" | "" => Some(path.required("valid values: \"OnFailure\", \"Never\"")),
        policy @ "OnFailure" if read::present(spec, "podFailurePolicy") => Some(path.invalid(
            policy,
            "only \"Never\" is supported when podFailurePolicy is specified",
        )),
        "OnFailure" | "Never" => None,
        other => Some(path.not_supported(other, &["OnFailure", "Never"])),
    }
}

/// What an update may not change of a job.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let labels = at(old, "spec.template").map(meta::labels).unwrap_or_default();
    let mut errors = job(new, labels.contains_key(NAME) && labels.contains_key(UID));
    // Upstream looks at the spec once more.
    errors.extend(whole_spec(new));
    let (after, before) = (
        new.get("spec").cloned().unwrap_or_default(),
        old.get("spec").cloned().unwrap_or_default(),
    );
    errors.extend(completions(&after, &before, &path.child("completions")));
    errors.extend(changed(
        &after,
        &before,
        ("selector", inner_form::LABEL_SELECTOR),
        &path,
    ));
    errors.extend(template_changed(&after, &before, old, &path));
    const FIXED: [(&str, inner_form::Form); 5] = [
        ("completionMode", &[]),
        ("podFailurePolicy", inner_form::FAILURE_POLICY),
        ("backoffLimitPerIndex", &[]),
        ("managedBy", &[]),
        ("successPolicy", inner_form::SUCCESS_POLICY),
    ];
    errors.extend(
        FIXED
            .into_iter()
            .filter_map(|field| changed(&after, &before, field, &path)),
    );
    errors
}

fn changed(
    after: &Value,
    before: &Value,
    (field, form): (&str, inner_form::Form),
    path: &Path,
) -> Option<FieldError> {
    let read = |spec: &Value| spec.get(field).filter(|value| !value.is_null()).cloned();
    let (after, before) = (read(after), read(before));
    (after != before).then(|| {
        let form = inner_form::shown(after.as_ref(), form);
        let error = path
            .child(field)
            .invalid(after.unwrap_or_default(), metadata::IMMUTABLE);
        error.shown_as(form)
    })
}

/// An indexed job grows and shrinks with its parallelism.
fn completions(after: &Value, before: &Value, path: &Path) -> Option<FieldError> {
    let number = |spec: &Value, field| read::integer(spec, field);
    let (wanted, was) = (number(after, "completions"), number(before, "completions"));
    if wanted == was {
        return None;
    }
    if read::text(after, "completionMode") != "Indexed" {
        let wanted = wanted.map(Value::from);
        let form = inner_form::shown(wanted.as_ref(), &[]);
        let error = path.invalid(wanted.unwrap_or_default(), metadata::IMMUTABLE);
        return Some(error.shown_as(form));
    }
    let wanted = wanted?;
    (Some(wanted) != number(after, "parallelism"))
        .then(|| path.invalid(wanted, "can only be modified in tandem with spec.parallelism"))
}

/// Whether a job has no pods, and gets none before it is resumed.
fn rests(old: &Value) -> bool {
    let stopped = || {
        let suspended = read::condition(old, "Suspended");
        suspended.is_some_and(|found| read::text(found, "status") == "True")
            && read::count(old, "status.active") == 0
    };
    read::flag(old, "spec.suspend") && (!read::present(old, "status.startTime") || stopped())
}

/// Where the pods go and what they ask for may change as long as there are none.
fn template_changed(after: &Value, before: &Value, old: &Value, path: &Path) -> Option<FieldError> {
    let mut kept = before.get("template").cloned().unwrap_or_default();
    let wanted = after.get("template").cloned().unwrap_or_default();
    if rests(old) {
        for list in ["containers", "initContainers"] {
            take_resources(&mut kept, &wanted, list);
        }
        for field in ["labels", "annotations"] {
            take(&mut kept, &wanted, "metadata", field);
        }
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            take(&mut kept, &wanted, "spec", field);
        }
        take_node_affinity(&mut kept, &wanted);
        // Of what else there is, upstream looks at the pods' spec alone.
        return change::differs(&wanted, &kept, "spec").then(|| {
            let spec = wanted.get("spec").cloned().unwrap_or_default();
            path.child("template.spec").invalid(spec, metadata::IMMUTABLE)
        });
    }
    (kept != wanted).then(|| path.child("template").invalid(wanted, metadata::IMMUTABLE))
}

fn take(kept: &mut Value, wanted: &Value, part: &str, field: &str) {
    let value = wanted.get(part).and_then(|part| part.get(field)).cloned();
    let map = meta::object_mut(meta::member_mut(kept, part));
    put(map, field, value);
}

/// Takes what each container asks for, container by container.
fn take_resources(kept: &mut Value, wanted: &Value, list: &str) {
    let containers = kept.pointer_mut(&format!("/spec/{list}"));
    let containers = containers.and_then(Value::as_array_mut).into_iter().flatten();
    let wished = read::list(wanted, &format!("spec.{list}")).iter();
    for (container, wished) in containers.zip(wished) {
        let resources = wished.get("resources").cloned();
        put(meta::object_mut(container), "resources", resources);
    }
}

fn put(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => map.insert(field.to_owned(), value),
        None => map.remove(field),
    };
}

fn take_node_affinity(kept: &mut Value, wanted: &Value) {
    let wished = at(wanted, "spec.affinity").filter(|affinity| !affinity.is_null());
    let spec = meta::object_mut(meta::member_mut(kept, "spec"));
    let mut affinity = spec
        .get("affinity")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let node = wished.and_then(|affinity| affinity.get("nodeAffinity")).cloned();
    put(&mut affinity, "nodeAffinity", node);
    let gone = affinity.is_empty() && wished.is_none();
    put(spec, "affinity", (!gone).then(|| affinity.into()));
}

/// What a client is warned of about a job's spec.
pub(crate) fn warnings(spec: &Value, path: &Path) -> Option<String> {
    let above = |field: &str, most: i64| read::count(spec, field) > most;
    let lost = read::text(spec, "completionMode") == "Indexed"
        && above("completions", MANY_COMPLETIONS)
        && above("parallelism", PARALLEL_OF_MANY);
    lost.then(|| {
        format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
             Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    })
}

/// `valid values: ["a" "b"]`, as upstream lists what may stand in an empty field.
fn valid_values(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
    format!("valid values: [{}]", quoted.join(" "))
}
