//! Rules for a job's status, which other controllers than the built-in one may write.
//!
//! A rule that came later than the kind applies only where a write changes what it speaks of.

use serde_json::Value;

use super::indexes;
use crate::field::{FieldError, Path};
use crate::read;
use crate::time;
use crate::validate::metadata;
use crate::validate::workload::counts;

/// A write, from what is stored to what is to be.
#[derive(Debug, Clone, Copy)]
struct Write<'a> {
    new: &'a Value,
    old: &'a Value,
}

impl<'a> Write<'a> {
    fn value(self, field: &str) -> Option<&'a Value> {
        let status = self.new.get("status")?;
        status.get(field).filter(|value| !value.is_null())
    }

    fn shown(self, field: &str) -> Value {
        self.value(field).cloned().unwrap_or_default()
    }

    fn before(self, field: &str) -> Option<&'a Value> {
        let status = self.old.get("status")?;
        status.get(field).filter(|value| !value.is_null())
    }

    fn changes(self, field: &str) -> bool {
        self.value(field) != self.before(field)
    }

    fn count(self, field: &str) -> i64 {
        self.value(field).and_then(Value::as_i64).unwrap_or(0)
    }

    fn is(self, condition: &str) -> bool {
        holds(self.new, condition)
    }

    fn was(self, condition: &str) -> bool {
        holds(self.old, condition)
    }

    fn turns(self, condition: &str) -> bool {
        self.is(condition) != self.was(condition)
    }

    fn finished(self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn finishes(self) -> bool {
        self.finished() != (self.was("Complete") || self.was("Failed"))
    }

    fn indexed(self) -> bool {
        read::text(self.new, "spec.completionMode") == "Indexed"
    }
}

fn holds(job: &Value, kind: &str) -> bool {
    read::condition(job, kind).is_some_and(|condition| read::text(condition, "status") == "True")
}

/// What is wrong with a write of a job's status, in upstream's order.
pub(crate) fn status_update(new: &Value, old: &Value) -> Vec<FieldError> {
    const COUNTS: [&str; 5] = ["active", "succeeded", "failed", "ready", "terminating"];
    let path = Path::new("status");
    let (write, at) = (Write { new, old }, path.child("conditions"));
    let mut errors = counts(new.get("status").unwrap_or(&Value::Null), &COUNTS, &path);
    errors.extend(uncounted(new, &path.child("uncountedTerminatedPods")));
    errors.extend(broken(&at, both_ends(write)));
    errors.extend(completion(write, &path.child("completionTime")));
    errors.extend(broken(&at, without_reason(write)));
    errors.extend(finished(write, &path));
    errors.extend(lists(write, &path));
    errors.extend(pods(write, &path));
    errors.extend(broken(&at, criteria(write)));
    errors.extend(history(write, &path));
    errors.extend(broken(&at, criteria_changed(write)));
    errors
}

/// Mistakes of conditions: whether each is made, and what is said of it.
type Mistakes<const N: usize> = [(bool, &'static str); N];

fn broken<const N: usize>(path: &Path, mistakes: Mistakes<N>) -> Vec<FieldError> {
    let made = mistakes.into_iter().filter(|(made, _)| *made);
    made.map(|(_, detail)| path.broken(detail)).collect()
}

fn uncounted(job: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for list in ["succeeded", "failed"] {
        let uids = read::texts(job, &format!("status.uncountedTerminatedPods.{list}"));
        for (index, uid) in uids.into_iter().enumerate() {
            let path = path.child(list).index(index);
            if uid.is_empty() {
                errors.push(path.invalid(uid, "must not be empty"));
            } else if seen.contains(&uid) {
                errors.push(path.duplicate(uid));
            } else {
                seen.push(uid);
            }
        }
    }
    errors
}

/// Ends that exclude each other.
fn both_ends(write: Write<'_>) -> Mistakes<2> {
    let (complete, completes) = (write.is("Complete"), write.turns("Complete"));
    [
        (
            (completes || write.turns("Failed")) && complete && write.is("Failed"),
            "cannot set Complete=True and Failed=true conditions",
        ),
        (
            (completes || write.turns("FailureTarget")) && complete && write.is("FailureTarget"),
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
    ]
}

/// An end needs the condition that says why.
fn without_reason(write: Write<'_>) -> Mistakes<2> {
    let fails = write.turns("Failed") || write.turns("FailureTarget");
    let completes = write.turns("Complete") || write.turns("SuccessCriteriaMet");
    [
        (
            fails && write.is("Failed") && !write.is("FailureTarget"),
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            completes && write.is("Complete") && !write.is("SuccessCriteriaMet"),
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
    ]
}

/// What the criteria of success go with.
fn criteria(write: Write<'_>) -> Mistakes<3> {
    let met = write.is("SuccessCriteriaMet");
    [
        (
            met && write.is("Failed"),
            "cannot set SuccessCriteriaMet=True and Failed=true conditions",
        ),
        (
            met && write.is("FailureTarget"),
            "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ),
        (
            read::present(write.new, "spec.successPolicy") && write.is("Complete") && !met,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
    ]
}

fn criteria_changed(write: Write<'_>) -> Mistakes<2> {
    let (met, was_met) = (write.is("SuccessCriteriaMet"), write.was("SuccessCriteriaMet"));
    [
        (
            was_met && !met,
            "cannot disable the SuccessCriteriaMet=True condition",
        ),
        (
            write.was("Complete") && !was_met && met,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ),
    ]
}

fn completion(write: Write<'_>, path: &Path) -> Vec<FieldError> {
    let complete = write.is("Complete");
    let (ended, began) = (write.value("completionTime"), write.value("startTime"));
    let mut errors = Vec::new();
    if write.turns("Complete") || write.changes("completionTime") {
        if ended.is_some() && !complete {
            let detail = "cannot set completionTime when there is no Complete=True condition";
            errors.push(path.invalid(write.shown("completionTime"), detail));
        }
        if ended.is_none() && complete {
            errors.push(path.required("completionTime is required for Complete jobs"));
        }
    }
    if write.changes("startTime") || write.changes("completionTime") {
        let read = |time: Option<&Value>| time.and_then(Value::as_str).and_then(time::parse);
        if let (Some(first), Some(last)) = (read(began), read(ended))
            && last < first
        {
            let detail = "completionTime cannot be set before startTime";
            errors.push(path.invalid(write.shown("completionTime"), detail));
        }
    }
    errors
}

/// What a finished job must have, and may have no more.
fn finished(write: Write<'_>, path: &Path) -> Vec<FieldError> {
    let asked = |field| (write.finishes() || write.changes(field)) && write.finished();
    let mut errors = Vec::new();
    if asked("active") && write.count("active") > 0 {
        let detail = "active>0 is invalid for finished job";
        errors.push(path.child("active").invalid(write.count("active"), detail));
    }
    if asked("startTime") && write.value("startTime").is_none() {
        let detail = "startTime is required for finished job";
        errors.push(path.child("startTime").required(detail));
    }
    let uncounted = ["succeeded", "failed"]
        .iter()
        .any(|list| !read::list(write.new, &format!("status.uncountedTerminatedPods.{list}")).is_empty());
    if asked("uncountedTerminatedPods") && uncounted {
        let detail = "uncountedTerminatedPods needs to be empty for finished job";
        let shown = write.shown("uncountedTerminatedPods");
        errors.push(path.child("uncountedTerminatedPods").invalid(shown, detail));
    }
    errors
}

fn pods(write: Write<'_>, path: &Path) -> Vec<FieldError> {
    let ends = write.finishes() || write.changes("terminating");
    let terminating = write.count("terminating");
    let mut errors = Vec::new();
    if ends && write.finished() && terminating > 0 {
        let detail = "terminating>0 is invalid for finished job";
        errors.push(path.child("terminating").invalid(terminating, detail));
    }
    if write.changes("ready") && write.count("ready") > write.count("active") {
        let detail = "cannot set more ready pods than active";
        errors.push(path.child("ready").invalid(write.count("ready"), detail));
    }
    errors
}

/// The lists of indexes that are done.
fn lists(write: Write<'_>, path: &Path) -> Vec<FieldError> {
    let completions = read::integer(write.new, "spec.completions");
    let per_index = read::present(write.new, "spec.backoffLimitPerIndex");
    let text = |field| write.value(field).and_then(Value::as_str);
    let (done, lost) = (
        text("completedIndexes").unwrap_or_default(),
        text("failedIndexes"),
    );
    let mut errors = Vec::new();
    let parsed = |field: &str, list: &str, completions: i64| {
        let broken = indexes::count(list, completions).err();
        broken.map(|why| {
            path.child(field)
                .invalid(list, format!("error parsing {field}: {why}"))
        })
    };
    if write.changes("completedIndexes") {
        errors.extend(completions.and_then(|most| parsed("completedIndexes", done, most)));
    }
    let changed = lost.filter(|_| write.changes("failedIndexes"));
    if let (Some(lost), Some(most), true) = (changed, completions, per_index) {
        errors.extend(parsed("failedIndexes", lost, most));
    }
    if write.changes("completedIndexes") && !done.is_empty() && !write.indexed() {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(path.child("completedIndexes").invalid(done, detail));
    }
    let Some(lost) = lost else { return errors };
    if changed.is_some() && !per_index {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(path.child("failedIndexes").invalid(lost, detail));
    }
    if write.changes("failedIndexes") || write.changes("completedIndexes") {
        let overlap = completions.and_then(|most| overlap(done, lost, most));
        errors.extend(overlap.map(|why| path.child("failedIndexes").invalid(lost, why)));
    }
    errors
}

/// An index that is in both lists.
fn overlap(done: &str, lost: &str, completions: i64) -> Option<String> {
    let (done, lost) = (
        indexes::intervals(done, completions).ok()?,
        indexes::intervals(lost, completions).ok()?,
    );
    let shared = lost.iter().find_map(|(first, last)| {
        done.iter()
            .find(|(from, to)| from <= last && first <= to)
            .map(|(from, _)| first.max(from))
    });
    shared.map(|index| format!("failedIndexes and completedIndexes overlap at index: {index}"))
}

/// What never goes back.
fn history(write: Write<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if write.was(kind) && !write.is(kind) {
            let detail = format!("cannot disable the terminal {kind}=True condition");
            errors.push(path.child("conditions").broken(detail));
        }
    }
    let fewer = |field: &str| {
        let before = write.before(field).and_then(Value::as_i64).unwrap_or(0);
        write.count(field) < before
    };
    if fewer("failed") {
        let detail = "cannot decrease the failed counter";
        errors.push(path.child("failed").invalid(write.count("failed"), detail));
    }
    let spec = |field: &str| read::integer(write.new, &format!("spec.{field}"));
    let elastic = write.indexed() && spec("completions") == spec("parallelism");
    if fewer("succeeded") && !elastic {
        let detail = "cannot decrease the succeeded counter";
        errors.push(path.child("succeeded").invalid(write.count("succeeded"), detail));
    }
    let both = |field| write.value(field).is_some() && write.before(field).is_some();
    if both("completionTime") && write.changes("completionTime") {
        let detail = metadata::IMMUTABLE;
        errors.push(
            path.child("completionTime")
                .invalid(write.shown("completionTime"), detail),
        );
    }
    let suspended = read::flag(write.new, "spec.suspend");
    if write.before("startTime").is_some() && write.changes("startTime") && !suspended {
        let detail = "startTime cannot be removed for unsuspended job";
        errors.push(path.child("startTime").required(detail));
    }
    errors
}
