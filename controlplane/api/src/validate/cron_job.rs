//! Rules for CronJobs.

mod schedule;

use serde_json::Value;

use super::{inner_form, job, number};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;

const CONCURRENCY: [&str; 3] = ["Allow", "Forbid", "Replace"];
/// The name of a job is that of its cron job and a time of eleven characters, together 63.
const LONGEST_NAME: usize = 52;

/// What is wrong with a new CronJob.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    let mut errors = spec(object, None);
    let name = meta::name(object);
    if name.len() > LONGEST_NAME {
        let detail = format!("must be no more than {LONGEST_NAME} characters");
        errors.push(Path::new("metadata.name").invalid(name, detail));
    }
    errors
}

/// What is wrong with an update. A name that is too long may stay.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    spec(new, Some(old))
}

fn spec(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let before = old.and_then(|old| old.get("spec"));
    let mut errors = plan(spec, before, &path);
    errors.extend(number::non_negative(spec, "startingDeadlineSeconds", &path));
    errors.extend(zone(spec, before, &path.child("timeZone")));
    errors.extend(match read::text(spec, "concurrencyPolicy") {
        "" => Some(path.child("concurrencyPolicy").required("")),
        policy if CONCURRENCY.contains(&policy) => None,
        policy => Some(
            path.child("concurrencyPolicy")
                .not_supported(policy, &CONCURRENCY),
        ),
    });
    errors.extend(template(spec, &path.child("jobTemplate.spec")));
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.extend(number::non_negative(spec, field, &path));
    }
    errors
}

fn plan(spec: &Value, before: Option<&Value>, path: &Path) -> Vec<FieldError> {
    let path = path.child("schedule");
    let text = read::text(spec, "schedule");
    if text.is_empty() {
        return vec![path.required("")];
    }
    let mut errors: Vec<FieldError> = schedule::check(text)
        .err()
        .map(|why| path.invalid(text, why))
        .into_iter()
        .collect();
    let allowed = before.is_some_and(|before| read::text(before, "schedule").contains("TZ"));
    if text.contains("TZ") && !allowed {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(path.invalid(text, detail));
    } else if text.contains("TZ") && read::present(spec, "timeZone") {
        let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(path.invalid(text, detail));
    }
    errors
}

/// A zone that is stored already is not looked at again: it may be gone from the database since.
fn zone(spec: &Value, before: Option<&Value>, path: &Path) -> Vec<FieldError> {
    let read = |spec: &Value| spec.get("timeZone").filter(|zone| !zone.is_null()).cloned();
    if before.is_some_and(|before| read(before) == read(spec)) {
        return Vec::new();
    }
    let Some(name) = spec.get("timeZone").and_then(Value::as_str) else {
        return Vec::new();
    };
    if name.is_empty() {
        return vec![path.invalid(name, "timeZone must be nil or non-empty string")];
    }
    if !name.split('/').all(is_zone_part) {
        return vec![path.invalid(name, format!("unknown time zone {name}"))];
    }
    let mut errors = Vec::new();
    if name.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(path.invalid(name, detail));
    }
    if !schedule::is_zone(name) {
        errors.push(path.invalid(name, format!("unknown time zone {name}")));
    }
    errors
}

fn is_zone_part(part: &str) -> bool {
    const LONGEST: usize = 14;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    (1..=LONGEST).contains(&part.len())
        && !matches!(part, "." | "..")
        && !part.starts_with('-')
        && part.bytes().all(good)
}

fn template(spec: &Value, path: &Path) -> Vec<FieldError> {
    let made = crate::resource::at(spec, "jobTemplate.spec").unwrap_or(&Value::Null);
    let mut errors = job::job_spec(made, path);
    if let Some(selector) = made.get("selector").filter(|selector| !selector.is_null()) {
        let detail = "`selector` will be auto-generated";
        let form = inner_form::shown(Some(selector), inner_form::LABEL_SELECTOR);
        errors.push(
            path.child("selector")
                .invalid(selector.clone(), detail)
                .shown_as(form),
        );
    }
    if read::flag(made, "manualSelector") {
        errors.push(
            path.child("manualSelector")
                .not_supported(true, &["nil", "false"]),
        );
    }
    errors
}
