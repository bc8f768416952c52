//! What upstream's admission plugin `Priority` does: a pod gets the priority of its class, at most one class is for pods
//! that name none, and the system's classes stay.

use controlplane_api::{ApiError, meta};
use serde_json::{Value, json};

use super::{is, lookup};
use crate::call::Call;

const GROUP: &str = "scheduling.k8s.io";
const PLURAL: &str = "priorityclasses";
const FOLDER: &str = "scheduling.k8s.io/priorityclasses";
const PREEMPTS: &str = "PreemptLowerPriority";

/// Writes into a new pod what its class says.
///
/// # Errors
///
/// 403 where there is no such class, or the pod says something else.
pub(super) fn fill(call: &Call, pod: &mut Value) -> Result<(), ApiError> {
    let named = pod.pointer("/spec/priorityClassName").and_then(Value::as_str);
    let class = match named.filter(|name| !name.is_empty()) {
        Some(name) => {
            let found = lookup::named(call, FOLDER, name)?;
            let why = || format!("no PriorityClass with name {name} was found");
            Some(found.ok_or_else(|| refused(pod, &why()))?)
        }
        None => default_class(call)?,
    };
    let number = |class: &Value| class.get("value").and_then(Value::as_i64);
    let priority = class.as_ref().and_then(number).unwrap_or_default();
    let policy = class
        .as_ref()
        .and_then(|class| class.get("preemptionPolicy")?.as_str())
        .unwrap_or(PREEMPTS);
    let spec = |field: &str| pod.get("spec").and_then(|spec| spec.get(field));
    if let Some(given) = spec("priority")
        .and_then(Value::as_i64)
        .filter(|given| *given != priority)
    {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        );
        return Err(refused(pod, &why));
    }
    if let Some(given) = spec("preemptionPolicy")
        .and_then(Value::as_str)
        .filter(|given| *given != policy)
    {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(refused(pod, &why));
    }
    let fields = meta::object_mut(meta::member_mut(pod, "spec"));
    fields.insert("priority".to_owned(), priority.into());
    fields.insert("preemptionPolicy".to_owned(), policy.into());
    if let Some(class) = &class {
        fields.insert("priorityClassName".to_owned(), json!(meta::name(class)));
    }
    Ok(())
}

fn refused(pod: &Value, why: &str) -> ApiError {
    ApiError::forbidden("", "pods", meta::name(pod), why)
}

/// The class of pods that name none: of several, that with the lowest value.
fn default_class(call: &Call) -> Result<Option<Value>, ApiError> {
    let classes = lookup::marked(call, FOLDER, "\"globalDefault\":true")?;
    let defaults = classes
        .into_iter()
        .filter(|class| class.get("globalDefault") == Some(&Value::Bool(true)));
    Ok(defaults.min_by_key(|class| class.get("value").and_then(Value::as_i64)))
}

/// Checks that a new or changed class does not become a second default.
///
/// # Errors
///
/// 403 that names the other.
pub(super) fn check_class(call: &Call, class: &Value) -> Result<(), ApiError> {
    if class.get("globalDefault") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let name = meta::name(class);
    match default_class(call)? {
        Some(other) if meta::name(&other) != name => {
            let why = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                meta::name(&other)
            );
            Err(ApiError::forbidden(GROUP, PLURAL, name, &why))
        }
        _ => Ok(()),
    }
}

/// Checks that a delete is not of one of the system's classes.
///
/// # Errors
///
/// 403 if it is.
pub(super) fn check_delete(call: &Call) -> Result<(), ApiError> {
    let system = controlplane_api::kinds::system_priority_classes();
    if is(&call.resource, GROUP, PLURAL) && system.iter().any(|class| meta::name(class) == call.name()) {
        let why = "this is a system priority class and cannot be deleted";
        return Err(ApiError::forbidden(GROUP, PLURAL, call.name(), why));
    }
    Ok(())
}
