//! Rules for StatefulSets.

use serde_json::{Value, json};

use super::workload::{self, at_most, counts};
use super::{inner_form, number, template, volume_claim};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::names;
use crate::read;

const KEPT_OR_DELETED: [&str; 2] = ["Retain", "Delete"];
/// What an update may change of a spec.
const CHANGEABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
const REST_CHANGED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
    'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
    'minReadySeconds' are forbidden";

const WORDS: template::Words = template::Words {
    empty: "empty selector is invalid for statefulset",
    broken: "",
};

/// What an update must bear because it was stored before a rule was made.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    service_name: bool,
    template: bool,
    claims: bool,
}

/// What is wrong with a new StatefulSet.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    spec(object.get("spec").unwrap_or(&Value::Null), Known::default())
}

/// What is wrong with an update. A name of a service, a template and claims that were broken before may
/// stay so: rules for them came later than the kind.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let (new, old) = (new.get("spec").cloned(), old.get("spec").cloned());
    let (mut new, mut old) = (new.unwrap_or_default(), old.unwrap_or_default());
    // Sets that were stored before the field was always written have none.
    meta::object_mut(&mut old)
        .entry("serviceName")
        .or_insert_with(|| "".into());
    meta::object_mut(&mut new)
        .entry("serviceName")
        .or_insert_with(|| "".into());
    let known = Known {
        service_name: true,
        template: !pods(&old, &path).is_empty(),
        claims: true,
    };
    let mut errors = spec(&new, known);
    for field in CHANGEABLE {
        crate::strategy::keep(&mut new, &old, field);
    }
    if new != old {
        errors.push(path.forbidden(REST_CHANGED));
    }
    errors
}

fn spec(spec: &Value, known: Known) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors: Vec<FieldError> = management(spec, &path).into_iter().collect();
    errors.extend(strategy(
        spec.get("updateStrategy").unwrap_or(&Value::Null),
        &path.child("updateStrategy"),
    ));
    errors.extend(retention(
        spec,
        &path.child("persistentVolumeClaimRetentionPolicy"),
    ));
    for field in ["replicas", "minReadySeconds"] {
        errors.extend(number::non_negative(spec, field, &path));
    }
    errors.extend(number::non_negative(spec, "ordinals.start", &path));
    let service = read::text(spec, "serviceName");
    if !known.service_name && !service.is_empty() {
        let rules = names::dns_label(service).into_iter();
        errors.extend(rules.map(|rule| path.child("serviceName").invalid(service, rule)));
    }
    if !known.claims {
        errors.extend(claims(spec, &path.child("volumeClaimTemplates")));
    }
    let (selector, broken) = template::selector(spec, WORDS, &path);
    errors.extend(broken);
    if let Some(selector) = selector {
        errors.extend(template::fits(spec, &selector, &path));
        if !known.template {
            errors.extend(pods(spec, &path));
        }
    }
    errors.extend(template::runs_on(spec, "StatefulSet", &path));
    errors
}

fn management(spec: &Value, path: &Path) -> Option<FieldError> {
    let path = path.child("podManagementPolicy");
    match read::text(spec, "podManagementPolicy") {
        "" => Some(path.required("")),
        "OrderedReady" | "Parallel" => None,
        other => Some(path.invalid(other, "must be 'OrderedReady' or 'Parallel'")),
    }
}

fn strategy(strategy: &Value, path: &Path) -> Vec<FieldError> {
    let rolling = strategy.get("rollingUpdate").filter(|rolling| !rolling.is_null());
    match (read::text(strategy, "type"), rolling) {
        ("", _) => vec![path.required("")],
        ("OnDelete", Some(rolling)) => {
            let form = inner_form::shown(Some(rolling), inner_form::STATEFUL_ROLLING);
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            vec![
                path.child("rollingUpdate")
                    .invalid(rolling.clone(), detail)
                    .shown_as(form),
            ]
        }
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &path.child("rollingUpdate")),
        ("OnDelete" | "RollingUpdate", None) => Vec::new(),
        _ => {
            let form = inner_form::shown(Some(strategy), inner_form::STATEFUL_STRATEGY);
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            vec![path.invalid(strategy.clone(), detail).shown_as(form)]
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = number::non_negative(rolling, "partition", path)
        .into_iter()
        .collect();
    let Some(most) = rolling.get("maxUnavailable").filter(|most| !most.is_null()) else {
        return errors;
    };
    let path = path.child("maxUnavailable");
    errors.extend(number::amount_errors(most, &path));
    if number::is_none(rolling, "maxUnavailable") {
        errors.push(path.invalid(most.clone(), "cannot be 0"));
    }
    errors.extend(number::above_all(most, &path));
    errors
}

fn retention(spec: &Value, path: &Path) -> Vec<FieldError> {
    let Some(policy) = spec
        .get("persistentVolumeClaimRetentionPolicy")
        .filter(|policy| !policy.is_null())
    else {
        return Vec::new();
    };
    let checked = ["whenDeleted", "whenScaled"].into_iter().filter_map(|field| {
        let given = read::text(policy, field);
        (!KEPT_OR_DELETED.contains(&given)).then(|| path.child(field).not_supported(given, &KEPT_OR_DELETED))
    });
    checked.collect()
}

fn claims(spec: &Value, path: &Path) -> Vec<FieldError> {
    let claims = read::list(spec, "volumeClaimTemplates").iter().enumerate();
    claims
        .flat_map(|(index, claim)| {
            let wanted = claim.get("spec").unwrap_or(&Value::Null);
            volume_claim::spec(wanted, &path.index(index).child("spec"))
        })
        .collect()
}

/// What is wrong with the template, as its pods will be: with the volumes of the claims, and with host
/// name and subdomain that the set gives them.
fn pods(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut template = spec.get("template").cloned().unwrap_or_default();
    let claimed: Vec<&str> = read::list(spec, "volumeClaimTemplates")
        .iter()
        .map(meta::name)
        .collect();
    let pod = meta::object_mut(meta::member_mut(&mut template, "spec"));
    pod.remove("hostname");
    pod.remove("subdomain");
    let given = pod.get("volumes").and_then(Value::as_array);
    let mut volumes: Vec<Value> = given.into_iter().flatten().cloned().collect();
    volumes.retain(|volume| !claimed.contains(&read::text(volume, "name")));
    volumes.extend(
        claimed
            .iter()
            .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})),
    );
    pod.insert("volumes".to_owned(), volumes.into());
    template::one(&template, &path.child("template"))
}

/// What is wrong with a write of a StatefulSet's status.
pub(crate) fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    const COUNTS: [&str; 7] = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    const OF_ALL: &str = "cannot be greater than status.replicas";
    const BOUNDS: [(&str, &str, &str); 5] = [
        ("readyReplicas", "replicas", OF_ALL),
        ("currentReplicas", "replicas", OF_ALL),
        ("updatedReplicas", "replicas", OF_ALL),
        ("availableReplicas", "replicas", OF_ALL),
        (
            "availableReplicas",
            "readyReplicas",
            "cannot be greater than status.readyReplicas",
        ),
    ];
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = counts(status, &COUNTS, &path);
    errors.extend(at_most(status, &BOUNDS, &path));
    errors.extend(workload::collisions(new, old));
    errors
}
