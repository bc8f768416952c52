use anyhow::Context;
use http::Method;
use serde_json::{Value, json};

use super::ApplyArgs;
use super::api::{Api, Attempt, code};
use super::documents;
use super::kinds::Kinds;
use super::merge::{LAST_APPLIED, patch, three_way};
use super::output::Output;
use super::target::{Target, namespace, of_object};

/// How often an object that others change meanwhile is tried.
const ATTEMPTS: usize = 5;
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Fields that no kind has are refused, as kubectl does: they are mistyped ones.
const STRICT: &str = "?fieldValidation=Strict";

pub(super) async fn run(api: &Api, args: &ApplyArgs, out: &mut Output) -> anyhow::Result<()> {
    let documents = documents::read_all(&args.file)?;
    let mut kinds = Kinds::discover(api).await?;
    let here = namespace(api, &args.place);
    for mut object in documents {
        let target = match of_object(&kinds, &object, &here) {
            Ok(target) => target,
            // An object before this one may have brought the kind.
            Err(_) => {
                kinds = Kinds::discover(api).await?;
                of_object(&kinds, &object, &here)?
            }
        };
        remember(&mut object, &target)?;
        let done = apply(api, &target, &object).await?;
        out.line(&format!("{} {done}", target.label()))?;
    }
    Ok(())
}

/// Puts the namespace and the annotation that holds the object itself into it.
fn remember(object: &mut Value, target: &Target) -> anyhow::Result<()> {
    let metadata = object
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .context("a document has no metadata")?;
    if let Some(namespace) = &target.namespace {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if annotations.is_null() {
        *annotations = json!({});
    }
    let fields = annotations
        .as_object_mut()
        .context("metadata.annotations is no object")?;
    fields.remove(LAST_APPLIED);
    let text = format!("{}\n", serde_json::to_string(object)?);
    if let Some(fields) = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        fields.insert(LAST_APPLIED.to_owned(), json!(text));
    }
    Ok(())
}

/// Creates or patches, and tells which.
async fn apply(api: &Api, target: &Target, wanted: &Value) -> anyhow::Result<&'static str> {
    let attempted = || format!("apply {}", target.shown());
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let tried = match api.find(&target.path()).await.attempt(attempted)? {
            None => create(api, target, wanted).await.map(|()| "created"),
            Some(live) => change(api, target, wanted, &live).await,
        };
        match tried {
            // Somebody created, changed or deleted it between reading and writing.
            Err(error) if matches!(code(&error), Some(409 | 404)) && left > 0 => {}
            other => return other.attempt(attempted),
        }
    }
}

async fn create(api: &Api, target: &Target, wanted: &Value) -> Result<(), kube::Error> {
    let all = target.kind.path(target.namespace.as_deref(), None) + STRICT;
    api.send(Method::POST, &all, ("application/json", wanted))
        .await
        .map(drop)
}

async fn change(
    api: &Api,
    target: &Target,
    wanted: &Value,
    live: &Value,
) -> Result<&'static str, kube::Error> {
    let Some(mut patch) = changes(wanted, live) else {
        return Ok("unchanged");
    };
    // Lists are sent whole, so what was read must still be what is there.
    if let (Some(fields), Some(revision)) = (patch.as_object_mut(), live.pointer("/metadata/resourceVersion"))
    {
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("resourceVersion".to_owned(), revision.clone());
        }
    }
    let after = api
        .send(Method::PATCH, &(target.path() + STRICT), (MERGE_PATCH, &patch))
        .await?;
    let same = after.pointer("/metadata/resourceVersion") == live.pointer("/metadata/resourceVersion");
    Ok(if same { "unchanged" } else { "configured" })
}

/// The merge patch from what is there to what is wanted, if they differ.
fn changes(wanted: &Value, live: &Value) -> Option<Value> {
    let last = live
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(LAST_APPLIED));
    let last: Option<Value> = last
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok());
    let mut merged = three_way(last.as_ref(), wanted, live);
    // A status in a file is not the user's to write.
    if let Some(fields) = merged.as_object_mut() {
        match live.get("status") {
            Some(status) => fields.insert("status".to_owned(), status.clone()),
            None => fields.remove("status"),
        };
    }
    patch(live, &merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_applied_last_decides_what_is_dropped() {
        let target = super::super::target::of_object(
            &super::super::kinds::tests::some(),
            &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}),
            "default",
        )
        .unwrap();
        let mut first = json!({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 1}, "status": {"z": 1}});
        remember(&mut first, &target).unwrap();
        let mut live = first.clone();
        live["metadata"]["resourceVersion"] = json!("5");
        live["status"] = json!({"z": 2});
        assert_eq!(changes(&first, &live), None);
        let mut second = json!({"metadata": {"name": "a", "annotations": null}, "spec": {"x": 1}});
        remember(&mut second, &target).unwrap();
        let patch = changes(&second, &live).unwrap();
        assert_eq!(patch["spec"], json!({"y": null}));
        assert_eq!(patch.get("status"), None);
        assert!(patch["metadata"]["annotations"][LAST_APPLIED].is_string());
    }
}
