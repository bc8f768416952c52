//! Update: PUT of an object or of one of its parts.

use bytes::Bytes;
use controlplane_api::field::Path;
use controlplane_api::rest::{self, Part};
use controlplane_api::{ApiError, meta};
use http::StatusCode;

use crate::call::Call;
use crate::reply::{self, Reply};
use crate::write::change::change;
use crate::write::create::{self, Written};
use crate::write::intake::{self, Expected, Intake};
use crate::write::owners;

/// Replaces the object, or the part of it that `part` names.
///
/// # Errors
///
/// 400 and 422 for a bad object, 404, 409.
pub(crate) async fn update(call: Call, part: Part<'static>, media_type: String, bytes: Bytes) -> Reply {
    let Intake {
        mut object,
        options,
        mut warnings,
    } = intake::read(&call, Expected::of(&call.resource), &media_type, &bytes)?;
    rest::fit_url(&call.resource, &mut object, call.namespace(), call.name())?;
    owners::check_manager(&call)?;
    call.resource.to_storage(&mut object);
    let unlocked = meta::resource_version(&object).is_empty();
    let absent = call.entry().is_err();
    if part == Part::Main && absent && call.resource.create_on_update && unlocked {
        owners::track(&call, "", None, &mut object);
        let created = create::store_new(&call, &object, options, &mut warnings).await?;
        return answer(&call, created, StatusCode::CREATED, &warnings);
    }
    if unlocked && !absent && !call.resource.unconditional_update {
        return Err(must_be_locked(&call));
    }
    let changed = change(&call, part, options.dry_run, &mut warnings, |old| {
        let mut new = object.clone();
        owners::track(&call, owners::subresource(part), Some(old), &mut new);
        Ok(new)
    })
    .await?;
    answer(&call, changed, StatusCode::OK, &warnings)
}

/// The answer that shows what was written, with warnings.
///
/// # Errors
///
/// Only where the object cannot be serialised, which would be a bug.
pub(crate) fn answer(call: &Call, written: Written, code: StatusCode, warnings: &[String]) -> Reply {
    let mut response = written.reply(call, code)?;
    reply::add_warnings(&mut response, warnings);
    Ok(response)
}

fn must_be_locked(call: &Call) -> ApiError {
    let error = Path::new("metadata.resourceVersion").invalid("", "must be specified for an update");
    ApiError::invalid(
        &call.resource.group,
        &call.resource.kind,
        call.name(),
        vec![error],
    )
}
