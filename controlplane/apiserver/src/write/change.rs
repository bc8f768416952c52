//! Changing a stored object: read, make the new form, compare and swap, again if someone was faster.

use controlplane_api::rest::{self, Part};
use controlplane_api::{ApiError, meta};
use controlplane_store::{Compare, Entry, Op, Outcome, Revision, Txn};
use serde_json::Value;

use crate::auth::restrict;
use crate::call::Call;
use crate::reply;
use crate::write::admission::{self, quota};
use crate::write::commit::{self, ATTEMPTS, Extra};
use crate::write::create::{self, Written};
use crate::write::owners;
use crate::write::services;

/// Changes the object that `call` names, through `part`.
///
/// `make` gets the object in its stored form with its resource version, and answers with the wished-for
/// one; it is called again after a lost race. An answer with another resource version is a conflict.
///
/// # Errors
///
/// 404, 409, 422, and what `make` answers.
pub(crate) async fn change<M>(
    call: &Call,
    part: Part<'_>,
    dry_run: bool,
    warnings: &mut Vec<String>,
    make: M,
) -> Result<Written, ApiError>
where
    M: Fn(&Value) -> Result<Value, ApiError> + Send + Sync,
{
    for _ in 0..ATTEMPTS {
        let entry = call.entry()?;
        let old = stored(call, &entry)?;
        let mut new = make(&old)?;
        check_version(call, &new, &old)?;
        let mut heard = rest::prepare_update(&call.resource, part, &mut new, &old, &call.context())?;
        restrict::check(call, &new, Some(&old))?;
        heard.extend(admission::check_changed(call, part, &new, &old)?);
        let mut extra = Extra::default();
        services::allocate(call, Some(&old), &mut new, &mut extra)?;
        quota::charge(call, Some(&old), Some(&new), &mut extra)?;
        if part == Part::Main {
            quota::measure(call, Some(&old), &mut new, &mut extra)?;
        }
        owners::keep_times(&mut new, &old);
        if dry_run {
            warnings.extend(heard);
            return Ok(Written::Dry(new));
        }
        if let Some(written) = swap(call, &entry, &old, &new, extra).await? {
            warnings.extend(heard);
            let measured = part == Part::Main && old.get("spec") != new.get("spec");
            let written = if measured {
                create::settled(call, written).await?
            } else {
                written
            };
            return Ok(Written::Stored(written));
        }
    }
    Err(call.conflict("too many others changed the object at the same time; please try again"))
}

/// The stored object as it would be stored today: defaults that came after it are no change of whoever writes next, so
/// its generation does not count them. A kind with a form of its own at rest is taken as it is.
fn stored(call: &Call, entry: &Entry) -> Result<Value, ApiError> {
    let mut object = entry
        .value
        .to_json(entry.mod_revision)
        .map_err(|e| reply::bug("read a stored object", &e))?;
    let kind = &call.resource;
    let schema = call.server.schemas.kind(&kind.group, &kind.version, &kind.kind);
    if let Some(schema) = schema.filter(|_| kind.storage.is_none()) {
        schema.default(&mut object);
    }
    Ok(object)
}

/// A resource version in the new form must be the current one. After a lost race a client's own no
/// longer is, while one that `make` took over from the current object still is.
fn check_version(call: &Call, new: &Value, old: &Value) -> Result<(), ApiError> {
    let given = meta::resource_version(new);
    if given.is_empty() || given == meta::resource_version(old) {
        Ok(())
    } else {
        Err(call.modified())
    }
}

/// Writes `new` over `entry`, or removes it where nothing holds it any more; `None` after a lost race.
async fn swap(
    call: &Call,
    entry: &Entry,
    old: &Value,
    new: &Value,
    mut extra: Extra,
) -> Result<Option<Entry>, ApiError> {
    let value = commit::encode(new)?;
    let gone = rest::deleted_by_update(&call.resource, new, old);
    if !gone && value == entry.value && extra.ops.is_empty() {
        return Ok(Some(entry.clone()));
    }
    let mut txn = Txn {
        actor: call.actor(),
        compares: vec![Compare::ModRevision(entry.key.clone(), entry.mod_revision)],
        ops: Vec::new(),
    };
    if gone {
        extra = Extra::default();
        services::release(call, old, &mut extra);
        quota::charge(call, Some(old), None, &mut extra)?;
        txn.ops.push(Op::Delete {
            key: entry.key.clone(),
        });
    } else {
        txn.ops.push(commit::put(
            &call.resource,
            entry.key.clone(),
            value.clone(),
            call.server.clock.as_ref(),
        ));
    }
    txn.compares.extend(extra.compares);
    txn.ops.extend(extra.ops);
    Ok(match commit::propose(call.store(), txn).await? {
        Outcome::Committed { revision } => Some(renewed(entry, value, revision)),
        Outcome::Refused { .. } => None,
    })
}

fn renewed(entry: &Entry, value: controlplane_store::Value, revision: Revision) -> Entry {
    Entry {
        value,
        mod_revision: revision,
        ..entry.clone()
    }
}
