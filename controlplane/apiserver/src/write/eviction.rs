//! Eviction of a pod: a delete that disruption budgets may refuse, once there are any.

use bytes::Bytes;
use controlplane_api::{ApiError, DeleteOptions, meta};
use http::StatusCode;
use serde_json::Value;

use crate::call::Call;
use crate::reply::{self, Reply};
use crate::request::query::{WriteOptions, dry_run};
use crate::write::intake::{self, Expected, Intake};
use crate::write::{condition, delete};

const EVICTION: Expected<'static> = Expected {
    group: "policy",
    version: "v1",
    kind: "Eviction",
    // What clients of before policy/v1 send, and upstream takes still.
    earlier: Some("v1beta1"),
};

/// Why a pod that is evicted ends, as its condition `DisruptionTarget` says.
const WORDS: (&str, &str) = ("EvictionByEvictionAPI", "Eviction API: evicting");

/// Evicts the pod that `call` names, as the `Eviction` in `bytes` wishes.
///
/// The pod's condition `DisruptionTarget` is set in the same transaction that marks it deleted.
///
/// # Errors
///
/// 400 for a bad body, 404, 409 for preconditions, 422 for options that contradict themselves.
pub(crate) async fn evict(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let Intake {
        object,
        options,
        warnings,
    } = intake::read(&call, EVICTION, &media_type, &bytes)?;
    let wishes = wishes(&call, &object, options)?;
    delete::run(&call, &wishes, |pod| {
        let now = call.server.clock.now();
        condition::set_true(pod, "DisruptionTarget", Some(WORDS), now);
    })
    .await?;
    let mut response = reply::success(StatusCode::CREATED, call.accepted.encoding)?;
    reply::add_warnings(&mut response, &warnings);
    Ok(response)
}

/// The delete that an eviction stands for; a dry run asked for by the URL is one, too.
fn wishes(call: &Call, eviction: &Value, options: WriteOptions) -> Result<DeleteOptions, ApiError> {
    let (url, body) = (call.name(), meta::name(eviction));
    if url != body {
        return Err(ApiError::bad_request(format!(
            "name in URL does not match name in Eviction object: {url:?} != {body:?}"
        )));
    }
    let given = eviction.get("deleteOptions").filter(|given| !given.is_null());
    let mut wishes: DeleteOptions = given
        .cloned()
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| ApiError::bad_request(format!("cannot read deleteOptions: {error}")))?
        .unwrap_or_default();
    if options.dry_run && !dry_run(wishes.dry_run.iter().map(String::as_str))? {
        wishes.dry_run = vec!["All".to_owned()];
    }
    Ok(wishes)
}
