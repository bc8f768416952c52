//! The subresource `scale`: the number of replicas as an `autoscaling/v1` `Scale`.

use std::sync::LazyLock;

use bytes::Bytes;
use controlplane_api::field::Path;
use controlplane_api::rest::Part;
use controlplane_api::{ApiError, LabelSelector, Resource, meta};
use controlplane_apimachinery::codec::Document;
use controlplane_apimachinery::define;
use controlplane_apimachinery::patch::{APPLY, Patch};
use http::StatusCode;
use serde_json::{Value, json};

use crate::call::Call;
use crate::read::render::Form;
use crate::reply::{self, Reply};
use crate::request::query::WriteOptions;
use crate::write::apply;
use crate::write::change::change;
use crate::write::intake::{self, Expected};
use crate::write::owners;

const SCALE: Expected<'static> = Expected {
    group: "autoscaling",
    version: "v1",
    kind: "Scale",
    earlier: None,
};

/// Shows the scale of the object that `call` names.
///
/// # Errors
///
/// 404.
pub(crate) fn get(call: &Call) -> Reply {
    let entry = call.entry()?;
    let object = entry
        .value
        .to_json(entry.mod_revision)
        .map_err(|e| reply::bug("read a stored object", &e))?;
    shown(call, &object)
}

/// A scale as a kind, for what shows one.
static KIND: LazyLock<Resource> = LazyLock::new(|| {
    let desired = "replicas is the desired number of instances for the scaled object.";
    let available = "replicas is the actual number of observed instances of the scaled object.";
    let columns = vec![
        define::name(),
        define::number("Desired", desired, |scale, _| count(scale, "spec")),
        define::number("Available", available, |scale, _| count(scale, "status")),
        define::age(),
    ];
    define::kind("autoscaling", "v1", "Scale", "scales").shown_by(columns)
});

fn count(scale: &Value, part: &str) -> Value {
    let part = scale.get(part).and_then(|part| part.get("replicas"));
    part.cloned().unwrap_or_else(|| 0.into())
}

/// The answer that shows the scale of an object, in the form that the client accepts.
fn shown(call: &Call, object: &Value) -> Reply {
    let form = Form {
        resource: &KIND,
        ..call.form()
    };
    form.reply_value(StatusCode::OK, of(object))
}

/// Replaces the scale.
///
/// # Errors
///
/// 400, 404, 409, 422.
pub(crate) async fn update(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let read = intake::read(&call, SCALE, &media_type, &bytes)?;
    owners::check_manager(&call)?;
    write(&call, read.options, |_| Ok(read.object.clone())).await
}

/// Patches the scale.
///
/// # Errors
///
/// As [`update`], and for a patch that cannot be read or applied.
pub(crate) async fn patch(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let options = WriteOptions::parse(&call.query, call.options_kind())?;
    let force = owners::check_patch(&call.query, media_type == APPLY)?;
    if media_type == APPLY {
        let wish = apply::Wish::parse(&bytes, force, options)?;
        return apply_scale(&call, &wish).await;
    }
    let (patch, duplicates) = Patch::parse(&media_type, &bytes)?;
    write(&call, options, |current| {
        let mut document = Document {
            value: patch.apply(SCALE.schema(call.server.schemas), current)?,
            duplicates: duplicates.clone(),
        };
        intake::admit_patched(
            call.server.schemas,
            SCALE,
            (&patch, &mut document),
            options.field_validation,
        )?;
        Ok(document.value)
    })
    .await
}

async fn write<M>(call: &Call, options: WriteOptions, make: M) -> Reply
where
    M: Fn(&Value) -> Result<Value, ApiError> + Send + Sync,
{
    let mut warnings = Vec::new();
    let written = change(call, Part::Main, options.dry_run, &mut warnings, |old| {
        let wished = make(&of(old))?;
        let replicas = wished_replicas(call, &wished)?;
        let mut new = old.clone();
        match meta::resource_version(&wished) {
            "" => meta::remove(&mut new, "resourceVersion"),
            version => meta::metadata_mut(&mut new).insert("resourceVersion".to_owned(), version.into()),
        };
        meta::object_mut(meta::member_mut(&mut new, "spec")).insert("replicas".to_owned(), replicas.into());
        owners::track(call, "scale", Some(old), &mut new);
        Ok(new)
    })
    .await?;
    shown(call, &written.into_value()?)
}

/// Applies a `Scale`: the number of replicas is a field of the object itself, and owned there.
async fn apply_scale(call: &Call, wish: &apply::Wish) -> Reply {
    let mut warnings = wish.warnings()?;
    wish.fits(call, SCALE)?;
    let mut config = json!({
        "apiVersion": call.resource.api_version(), "kind": call.resource.kind,
        "metadata": {"name": call.name(), "namespace": call.namespace()},
    });
    if let Some(replicas) = wish.config.pointer("/spec/replicas") {
        wished_replicas(call, &wish.config)?;
        meta::object_mut(&mut config).insert("spec".to_owned(), json!({"replicas": replicas}));
    }
    let wish = apply::Wish {
        config,
        ..wish.clone()
    };
    let written = change(call, Part::Main, wish.options.dry_run, &mut warnings, |old| {
        apply::applied(call, "scale", Some(old), &wish)
    })
    .await?;
    let mut response = shown(call, &written.into_value()?)?;
    reply::add_warnings(&mut response, &warnings);
    Ok(response)
}

fn wished_replicas(call: &Call, scale: &Value) -> Result<i64, ApiError> {
    let replicas = scale
        .get("spec")
        .and_then(|spec| spec.get("replicas"))
        .and_then(Value::as_i64)
        .unwrap_or(0);
    if (0..=i64::from(i32::MAX)).contains(&replicas) {
        return Ok(replicas);
    }
    let error = Path::new("spec.replicas").invalid(replicas, "must be greater than or equal to 0");
    Err(ApiError::invalid(
        "autoscaling",
        "Scale",
        call.name(),
        vec![error],
    ))
}

/// The scale of an object.
fn of(object: &Value) -> Value {
    let number = |part: &str| {
        object
            .get(part)
            .and_then(|part| part.get("replicas"))
            .and_then(Value::as_i64)
    };
    let selector = object.get("spec").and_then(|spec| spec.get("selector"));
    let selector = selector.and_then(|selector| LabelSelector::from_json(selector).ok());
    let mut metadata = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.get("metadata").and_then(|metadata| metadata.get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": number("spec").unwrap_or(1)},
        "status": {
            "replicas": number("status").unwrap_or(0),
            "selector": selector.map(|selector| selector.to_string()).unwrap_or_default(),
        },
    })
}
