//! Patch: JSON patch, merge patch, strategic merge patch and server-side apply.

use bytes::Bytes;
use controlplane_api::field::Path;
use controlplane_api::rest::{self, Part};
use controlplane_api::{ApiError, Resource};
use controlplane_schema::{Schemas, merge_patch};
use http::StatusCode;
use serde_json::Value;

use crate::call::Call;
use crate::reply::Reply;
use crate::request::json;
use crate::request::query::{FieldValidation, WriteOptions};
use crate::write::apply;
use crate::write::change::change;
use crate::write::intake::{self, Expected};
use crate::write::owners;
use crate::write::update::answer;

/// Most operations of one JSON patch, as upstream's limit.
const MAX_OPERATIONS: usize = 10_000;

/// The media type of server-side apply.
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// Every kind of patch that is read.
pub(crate) const READABLE: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    APPLY,
];

/// A patch, parsed.
#[derive(Debug)]
pub(crate) enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' own, by the kind's schema.
    Strategic(Value),
}

impl Patch {
    /// Reads a patch; answers also with members that it holds twice.
    ///
    /// # Errors
    ///
    /// 415 for a media type that is not read, 400 for a syntax error, 413 for too many operations.
    pub(crate) fn parse(media_type: &str, bytes: &[u8]) -> Result<(Self, Vec<String>), ApiError> {
        let wrap: fn(Value) -> Self = match media_type {
            "application/json-patch+json" => {
                return Self::parse_json_patch(bytes).map(|patch| (patch, Vec::new()));
            }
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" => Self::Strategic,
            _ => return Err(ApiError::unsupported_media_type(&READABLE)),
        };
        let document = json::parse(bytes).map_err(|error| {
            ApiError::bad_request(format!("error decoding patch: json parse error: {error}"))
        })?;
        if !document.value.is_object() {
            return Err(ApiError::bad_request(
                "error decoding patch: it must be a JSON object",
            ));
        }
        Ok((wrap(document.value), document.duplicates))
    }

    fn parse_json_patch(bytes: &[u8]) -> Result<Self, ApiError> {
        let patch: json_patch::Patch = serde_json::from_slice(bytes)
            .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
        match patch.0.len() {
            count if count > MAX_OPERATIONS => Err(ApiError::too_large(&format!(
                "the allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
            ))),
            _ => Ok(Self::Json(patch)),
        }
    }

    /// `current` with the patch applied; `expected` names the kind whose schema merges lists.
    ///
    /// # Errors
    ///
    /// 422 where the patch does not fit the object, 415 where the kind has no schema.
    pub(crate) fn apply(
        &self,
        schemas: &Schemas,
        expected: Expected<'_>,
        current: &Value,
    ) -> Result<Value, ApiError> {
        let mut patched = current.clone();
        match self {
            Self::Json(patch) => {
                json_patch::patch(&mut patched, patch).map_err(|error| unfit(expected, &error))?
            }
            Self::Merge(patch) => merge_patch(&mut patched, patch),
            Self::Strategic(patch) => {
                let schema = schemas
                    .kind(expected.group, expected.version, expected.kind)
                    .ok_or_else(|| ApiError::unsupported_media_type(READABLE.get(..2).unwrap_or_default()))?;
                patched = schema
                    .strategic_merge(current, patch)
                    .map_err(|error| unfit(expected, &error))?;
            }
        }
        Ok(patched)
    }
}

fn unfit(expected: Expected<'_>, error: &dyn std::fmt::Display) -> ApiError {
    let error = Path::new("patch").invalid("", error.to_string());
    ApiError::invalid(expected.group, expected.kind, "", vec![error])
}

/// Patches the object, or the part of it that `part` names.
///
/// # Errors
///
/// As an update, and for a patch that cannot be read or applied.
pub(crate) async fn patch(call: Call, part: Part<'static>, media_type: String, bytes: Bytes) -> Reply {
    let options = WriteOptions::parse(&call.query)?;
    let force = owners::check_patch(&call.query, media_type == APPLY)?;
    if media_type == APPLY {
        let wish = apply::Wish::parse(&bytes, force, options)?;
        return apply::apply(call, part, &wish).await;
    }
    let (patch, duplicates) = Patch::parse(&media_type, &bytes)?;
    let mut warnings = Vec::new();
    let heard = std::sync::Mutex::new(Vec::new());
    let changed = change(&call, part, options.dry_run, &mut warnings, |old| {
        let (mut object, said) = patched(&call, &patch, &duplicates, old, options.field_validation)?;
        owners::track(&call, owners::subresource(part), Some(old), &mut object);
        *heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = said;
        Ok(object)
    })
    .await?;
    warnings.splice(0..0, heard.into_inner().unwrap_or_default());
    answer(&call, changed, StatusCode::OK, &warnings)
}

fn patched(
    call: &Call,
    patch: &Patch,
    duplicates: &[String],
    old: &Value,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    let resource: &Resource = &call.resource;
    let mut current = old.clone();
    resource.from_storage(&mut current);
    let expected = Expected::of(resource);
    let value = patch.apply(call.server.schemas, expected, &current)?;
    let mut document = json::Document {
        value,
        duplicates: duplicates.to_vec(),
    };
    let warnings = intake::admit(call.server.schemas, expected, &mut document, validation)?;
    let mut object = document.value;
    rest::fit_url(resource, &mut object, call.namespace(), call.name())?;
    resource.to_storage(&mut object);
    Ok((object, warnings))
}
