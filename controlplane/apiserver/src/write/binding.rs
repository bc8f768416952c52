//! Binding a pod to a node.

use bytes::Bytes;
use controlplane_api::rest::Part;
use controlplane_api::{ApiError, meta};
use http::StatusCode;
use serde_json::Value;

use crate::call::Call;
use crate::reply::{self, Reply};
use crate::write::change::change;
use crate::write::condition;
use crate::write::intake::{self, Expected, Intake};

const BINDING: Expected<'static> = Expected {
    group: "",
    version: "v1",
    kind: "Binding",
    earlier: None,
};

/// Binds the pod that `call` names to the node that the `Binding` in `bytes` names.
///
/// # Errors
///
/// 409 where the pod is bound or being deleted, 404, 400, 422.
pub(crate) async fn bind(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let read = intake::read(&call, BINDING, &media_type, &bytes)?;
    if meta::name(&read.object) != call.name() {
        let why = "name in URL does not match name in Binding object";
        return Err(ApiError::bad_request(why));
    }
    carry_out(call, read).await
}

/// Binds the pod that the `Binding` in `bytes` names, sent to the collection of bindings.
///
/// # Errors
///
/// As [`bind`].
pub(crate) async fn bind_named(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let read = intake::read(&call, BINDING, &media_type, &bytes)?;
    let pods = call.server.registry.find("", "v1", "pods").cloned();
    let call = Call {
        resource: pods.ok_or_else(ApiError::no_such_path)?,
        name: Some(meta::name(&read.object).to_owned()),
        ..call
    };
    carry_out(call, read).await
}

async fn carry_out(call: Call, read: Intake) -> Reply {
    let Intake {
        object: binding,
        options,
        mut warnings,
    } = read;
    let node = target(&call, &binding)?;
    change(
        &call,
        Part::Sub("binding"),
        options.dry_run,
        &mut warnings,
        |old| {
            let stale = |wanted: &str, found: &str| !wanted.is_empty() && wanted != found;
            if stale(meta::uid(&binding), meta::uid(old)) {
                return Err(call.conflict("the UID in the binding is not the pod's"));
            }
            if stale(meta::resource_version(&binding), meta::resource_version(old)) {
                return Err(call.modified());
            }
            bound(&call, old, &node)
        },
    )
    .await?;
    let mut response = reply::success(StatusCode::CREATED, call.accepted.encoding)?;
    reply::add_warnings(&mut response, &warnings);
    Ok(response)
}

fn target(call: &Call, binding: &Value) -> Result<String, ApiError> {
    let text = |field: &str| {
        let target = binding.get("target")?.get(field)?;
        target.as_str().filter(|text| !text.is_empty())
    };
    let refuse = |path: &str, error: fn(&controlplane_api::Path) -> controlplane_api::FieldError| {
        let path = controlplane_api::Path::new(path);
        ApiError::invalid("", "Binding", call.name(), vec![error(&path)])
    };
    if text("kind").is_some_and(|kind| kind != "Node") {
        return Err(refuse("target.kind", |path| {
            path.not_supported("", &["Node", "<empty>"])
        }));
    }
    text("name")
        .map(str::to_owned)
        .ok_or_else(|| refuse("target.name", |path| path.required("")))
}

fn bound(call: &Call, old: &Value, node: &str) -> Result<Value, ApiError> {
    let conflict = |why: &str| Err(ApiError::conflict("", "pods/binding", call.name(), why));
    if meta::deletion_timestamp(old).is_some() {
        return conflict(&format!(
            "pod {} is being deleted, cannot be assigned to a host",
            call.name()
        ));
    }
    let spec = old.get("spec");
    let text = |field: &str| {
        spec.and_then(|spec| spec.get(field))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if !text("nodeName").is_empty() {
        let assigned = text("nodeName");
        return conflict(&format!(
            "pod {} is already assigned to node \"{assigned}\"",
            call.name()
        ));
    }
    let gated = spec
        .and_then(|spec| spec.get("schedulingGates"))
        .and_then(Value::as_array);
    if gated.is_some_and(|gates| !gates.is_empty()) {
        return conflict(&format!(
            "pod {} has non-empty .spec.schedulingGates",
            call.name()
        ));
    }
    let mut new = old.clone();
    let spec = meta::object_mut(meta::member_mut(&mut new, "spec"));
    spec.insert("nodeName".to_owned(), node.into());
    let now = call.server.clock.now();
    condition::set_true(&mut new, "PodScheduled", None, now);
    Ok(new)
}
