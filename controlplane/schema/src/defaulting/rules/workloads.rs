//! Rules of the other groups.

use serde_json::{Value, json};

use super::{Fields, absent, object, object_mut, set, text};

/// A rolling update of a Deployment goes by quarters; any other strategy has no parameters.
pub(super) fn rolling_deployment(strategy: &mut Fields) {
    rolling_update(strategy, "25%".into(), "25%".into());
}

/// A rolling update of daemons goes one by one, and stops a pod before it starts the next.
pub(super) fn rolling_daemons(strategy: &mut Fields) {
    rolling_update(strategy, 1.into(), 0.into());
}

fn rolling_update(strategy: &mut Fields, unavailable: Value, surge: Value) {
    if text(strategy, "type") != "RollingUpdate" {
        return;
    }
    set(strategy, "rollingUpdate", json!({}));
    if let Some(rolling) = object_mut(strategy, "rollingUpdate") {
        set(rolling, "maxUnavailable", unavailable);
        set(rolling, "maxSurge", surge);
    }
}

/// Without a type it is a rolling update with parameters; one that is named needs none.
pub(super) fn stateful_rolling_update(strategy: &mut Fields) {
    if text(strategy, "type").is_empty() {
        strategy.insert("type".to_owned(), "RollingUpdate".into());
        set(strategy, "rollingUpdate", json!({}));
    }
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = object_mut(strategy, "rollingUpdate")
    {
        set(rolling, "partition", 0);
        set(rolling, "maxUnavailable", 1);
    }
}

/// How a job runs its pods; in a job only, not in the template of a cron job.
pub(super) fn job(job: &mut Fields) {
    let Some(spec) = object_mut(job, "spec") else {
        return;
    };
    // With completions but no parallelism one pod runs at a time; with parallelism alone the job is a
    // work queue, whose completions stay unset.
    if absent(spec, "completions") && absent(spec, "parallelism") {
        spec.insert("completions".to_owned(), 1.into());
    }
    set(spec, "parallelism", 1);
    let backoff = if absent(spec, "backoffLimitPerIndex") {
        6
    } else {
        i32::MAX
    };
    set(spec, "backoffLimit", backoff);
    let replacement = if absent(spec, "podFailurePolicy") {
        "TerminatingOrFailed"
    } else {
        "Failed"
    };
    set(spec, "podReplacementPolicy", replacement);
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    set(spec, "manualSelector", false);
}

/// An object without labels takes those of its template.
pub(super) fn labels_of_template(object: &mut Fields) {
    let Some(labels) = template_labels(object) else {
        return;
    };
    set(object, "metadata", json!({}));
    if let Some(metadata) = object_mut(object, "metadata")
        && is_empty(metadata, "labels")
    {
        metadata.insert("labels".to_owned(), labels);
    }
}

/// A replication controller without a selector selects the labels of its template.
pub(super) fn selector_of_template(controller: &mut Fields) {
    let Some(labels) = template_labels(controller) else {
        return;
    };
    if let Some(spec) = object_mut(controller, "spec")
        && is_empty(spec, "selector")
    {
        spec.insert("selector".to_owned(), labels);
    }
}

fn template_labels(owner: &Fields) -> Option<Value> {
    let template = object(object(owner, "spec")?, "template")?;
    let labels = object(template, "metadata")?.get("labels")?;
    labels.is_object().then(|| labels.clone())
}

fn is_empty(fields: &Fields, name: &str) -> bool {
    object(fields, name).is_none_or(Fields::is_empty)
}

/// Without metrics an autoscaler holds the CPU at 80 %.
pub(super) fn autoscaler_metrics(spec: &mut Fields) {
    let has_metrics = spec
        .get("metrics")
        .and_then(Value::as_array)
        .is_some_and(|metrics| !metrics.is_empty());
    if !has_metrics {
        let target = json!({ "type": "Utilization", "averageUtilization": 80 });
        let metric = json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } });
        spec.insert("metrics".to_owned(), json!([metric]));
    }
}

/// The speeds of scaling, where any is given.
pub(super) fn autoscaler_behavior(behavior: &mut Fields) {
    let double = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    let four_pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
    for (direction, policies) in [
        ("scaleUp", json!([four_pods, double])),
        ("scaleDown", json!([double])),
    ] {
        set(behavior, direction, json!({}));
        if let Some(rules) = object_mut(behavior, direction) {
            set(rules, "selectPolicy", "Max");
            set(rules, "policies", policies);
            if direction == "scaleUp" {
                set(rules, "stabilizationWindowSeconds", 0);
            }
        }
    }
}

/// A network policy is one for incoming traffic, and for outgoing where it has rules for that.
pub(super) fn policy_types(spec: &mut Fields) {
    let list = |name| spec.get(name).and_then(Value::as_array);
    if list("policyTypes").is_some_and(|types| !types.is_empty()) {
        return;
    }
    let has_egress = list("egress").is_some_and(|rules| !rules.is_empty());
    let types = if has_egress {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    };
    spec.insert("policyTypes".to_owned(), types);
}

/// Users and groups belong to the RBAC group, service accounts to the core group.
pub(super) fn subject_group(subject: &mut Fields) {
    if text(subject, "apiGroup").is_empty() && matches!(text(subject, "kind"), "User" | "Group") {
        subject.insert("apiGroup".to_owned(), "rbac.authorization.k8s.io".into());
    }
}

/// A request for an exact number of devices is one for one device.
pub(super) fn device_count(request: &mut Fields) {
    let count = request.get("count").and_then(Value::as_i64).unwrap_or(0);
    if text(request, "allocationMode") == "ExactCount" && count == 0 {
        request.insert("count".to_owned(), 1.into());
    }
}

/// The names of a custom resource that follow from its kind.
pub(super) fn custom_resource_names(spec: &mut Fields) {
    let Some(names) = object_mut(spec, "names") else {
        return;
    };
    let kind = text(names, "kind").to_owned();
    for (name, value) in [
        ("singular", kind.to_lowercase()),
        ("listKind", format!("{kind}List")),
    ] {
        if text(names, name).is_empty() && !kind.is_empty() {
            names.insert(name.to_owned(), value.into());
        }
    }
}
