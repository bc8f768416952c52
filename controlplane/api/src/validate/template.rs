//! Rules for the template of pods, and for the selector that must choose what is made from it.

use serde_json::Value;

use super::pod;
use super::workload::label_selector_errors;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;
use crate::resource::at;
use crate::selector::LabelSelector;
use crate::validate::{inner_form, metadata};

/// Upstream's words for a selector that cannot be used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// Of one that chooses everything.
    pub(crate) empty: &'static str,
    /// Of one that cannot be read, beside its single mistakes.
    pub(crate) broken: &'static str,
}

/// The selector in a workload's `spec`, where it can be read, and what is wrong with it.
///
/// It must be there and choose something; an absent one chooses nothing, so it fits no template either.
pub(crate) fn selector(spec: &Value, words: Words, path: &Path) -> (Option<LabelSelector>, Vec<FieldError>) {
    let path = path.child("selector");
    let Some(raw) = spec.get("selector").filter(|raw| !raw.is_null()) else {
        return (Some(LabelSelector::nothing()), vec![path.required("")]);
    };
    let mut errors = label_selector_errors(raw, &path);
    let parsed = LabelSelector::from_json(raw).ok();
    let wrong = |detail: &str| {
        let form = inner_form::shown(Some(raw), inner_form::LABEL_SELECTOR);
        path.invalid(raw.clone(), detail).shown_as(form)
    };
    if is_empty(raw) {
        errors.push(wrong(words.empty));
    }
    if parsed.is_none() {
        errors.push(wrong(words.broken));
    }
    (parsed, errors)
}

fn is_empty(selector: &Value) -> bool {
    read::map(selector, "matchLabels").next().is_none() && read::list(selector, "matchExpressions").is_empty()
}

/// A selector must choose the pods that the template makes.
pub(crate) fn fits(spec: &Value, selector: &LabelSelector, path: &Path) -> Option<FieldError> {
    let labels = spec.get("template").map(meta::labels).unwrap_or_default();
    (!selector.matches(&labels)).then(|| {
        let shown = at(spec, "template.metadata.labels").cloned().unwrap_or_default();
        path.child("template.metadata.labels")
            .invalid(shown, "`selector` does not match template `labels`")
    })
}

/// What is wrong with the template in `spec`.
pub(crate) fn pods(spec: &Value, path: &Path) -> Vec<FieldError> {
    let template = spec.get("template").unwrap_or(&Value::Null);
    one(template, &path.child("template"))
}

/// What is wrong with a template at `path`.
pub(crate) fn one(template: &Value, path: &Path) -> Vec<FieldError> {
    let pod_spec = template.get("spec").unwrap_or(&Value::Null);
    let mut errors = labels(template, path);
    errors.extend(pod::annotations::check(template, &path.child("annotations")));
    errors.extend(pod::spec(pod_spec, pod::Owner::Template, &path.child("spec")));
    errors.extend(pod::annotations::agree(template, &path.child("spec")));
    if !read::list(pod_spec, "ephemeralContainers").is_empty() {
        errors.push(
            path.child("spec.ephemeralContainers")
                .forbidden("ephemeral containers not allowed in pod template"),
        );
    }
    errors
}

/// What is wrong with a template's metadata. Upstream's paths leave `metadata` out.
pub(crate) fn labels(template: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = metadata::label_errors(&meta::labels(template), &path.child("labels"));
    let annotations = meta::annotations(template);
    errors.extend(metadata::annotation_errors(
        &annotations,
        &path.child("annotations"),
    ));
    errors
}

/// What is wrong with metadata that may have labels and annotations only.
pub(crate) fn only_labels(template: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = metadata::annotation_errors(&meta::annotations(template), &path.child("annotations"));
    errors.extend(metadata::label_errors(
        &meta::labels(template),
        &path.child("labels"),
    ));
    for field in OTHER_METADATA {
        let set = match template.pointer(&format!("/metadata/{field}")) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) => true,
        };
        if set {
            errors.push(path.child(field).forbidden("cannot be set"));
        }
    }
    errors
}

/// What metadata has beside labels and annotations, in upstream's order.
const OTHER_METADATA: [&str; 12] = [
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// What a workload that keeps its pods running does not allow in their template.
pub(crate) fn runs_on(spec: &Value, kind: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = path.child("template.spec");
    let policy = read::text(spec, "template.spec.restartPolicy");
    if policy != "Always" {
        errors.push(path.child("restartPolicy").not_supported(policy, &["Always"]));
    }
    if read::present(spec, "template.spec.activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(path.child("activeDeadlineSeconds").forbidden(detail));
    }
    errors
}
