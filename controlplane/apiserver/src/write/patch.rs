//! Patch: JSON patch, merge patch, strategic merge patch and server-side apply.

use bytes::Bytes;
use controlplane_api::rest::{self, Part};
use controlplane_api::{ApiError, Resource};
use controlplane_apimachinery::codec::{Document, Duplicate};
use controlplane_apimachinery::patch::{APPLY, Patch};
use http::StatusCode;
use serde_json::Value;

use crate::call::Call;
use crate::reply::Reply;
use crate::request::query::{FieldValidation, WriteOptions};
use crate::write::apply;
use crate::write::change::change;
use crate::write::intake::{self, Expected};
use crate::write::owners;
use crate::write::update::answer;

/// Patches the object, or the part of it that `part` names.
///
/// # Errors
///
/// As an update, and for a patch that cannot be read or applied.
pub(crate) async fn patch(call: Call, part: Part<'static>, media_type: String, bytes: Bytes) -> Reply {
    let options = WriteOptions::parse(&call.query, call.options_kind())?;
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
    duplicates: &[Duplicate],
    old: &Value,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    let resource: &Resource = &call.resource;
    let mut current = old.clone();
    resource.from_storage(&mut current);
    let expected = Expected::of(resource);
    let mut document = Document {
        value: patch.apply(expected.schema(call.server.schemas), &current)?,
        duplicates: duplicates.to_vec(),
    };
    let warnings = intake::admit_patched(call.server.schemas, expected, (patch, &mut document), validation)?;
    let mut object = document.value;
    rest::fit_url(resource, &mut object, call.namespace(), call.name())?;
    resource.to_storage(&mut object);
    Ok((object, warnings))
}
