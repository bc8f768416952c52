//! Delete of one object.

use axum::response::Response;
use bytes::Bytes;
use controlplane_api::rest::{self, Deletion};
use controlplane_api::strategy::Preconditions;
use controlplane_api::{ApiError, DeleteOptions, Details, Status, meta};
use controlplane_store::{Compare, Entry, Op, Outcome, Txn};
use http::StatusCode;
use serde_json::Value;

use crate::call::Call;
use crate::reply::{self, Reply};
use crate::request::body;
use crate::request::query::{Query, dry_run};
use crate::write::admission::{self, quota};
use crate::write::commit::{self, ATTEMPTS, Extra};
use crate::write::services;

/// Reads the options from the body, or, where that is empty, from the query.
///
/// # Errors
///
/// 400 where they cannot be read.
pub(crate) fn options(query: &Query, media_type: &str, bytes: &[u8]) -> Result<DeleteOptions, ApiError> {
    if !bytes.is_empty() {
        let value = body::decode(media_type, bytes)?.value;
        is_options(&value)?;
        let mut options: DeleteOptions = serde_json::from_value(value)
            .map_err(|error| ApiError::bad_request(format!("cannot read DeleteOptions: {error}")))?;
        options.grace_period_seconds = options.grace_period_seconds.map(grace);
        return Ok(options);
    }
    let grace_period_seconds = query.signed("gracePeriodSeconds")?.map(grace);
    let text = |name: &str| query.get(name).map(str::to_owned);
    let preconditions = Preconditions {
        uid: text("preconditions.uid"),
        resource_version: text("preconditions.resourceVersion"),
    };
    Ok(DeleteOptions {
        grace_period_seconds,
        preconditions: Some(preconditions).filter(|wanted| *wanted != Preconditions::default()),
        orphan_dependents: query.flag("orphanDependents"),
        propagation_policy: text("propagationPolicy"),
        dry_run: query.all("dryRun").map(str::to_owned).collect(),
    })
}

/// A grace below nothing is a second, as upstream has it.
fn grace(seconds: i64) -> i64 {
    if seconds < 0 { 1 } else { seconds }
}

/// Refuses an object of another kind: who sends one means something else than to delete with the defaults. Of which group the
/// options are says nothing; clients name that of what they delete.
fn is_options(value: &Value) -> Result<(), ApiError> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    match text("kind") {
        "" | "DeleteOptions" => Ok(()),
        kind => Err(ApiError::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a DeleteOptions",
            text("apiVersion")
        ))),
    }
}

/// Deletes the object that `call` names.
///
/// # Errors
///
/// 404, 409 for preconditions, 422 for options that contradict themselves.
pub(crate) async fn delete(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let options = options(&call.query, &media_type, &bytes)?;
    match run(&call, &options, |_| ()).await? {
        Deleted::Removed(object) if call.resource.shows_deleted => shown(&call, StatusCode::OK, object),
        Deleted::Removed(object) => removed(&call, &object),
        Deleted::Marked(object) => shown(&call, code_of_marked(&options), object),
    }
}

/// What a delete has come to.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone; this was it.
    Removed(Value),
    /// It lives on for a while, in this form.
    Marked(Value),
}

impl Deleted {
    /// The object as it was last.
    pub(crate) fn into_object(self) -> Value {
        match self {
            Self::Removed(object) | Self::Marked(object) => object,
        }
    }
}

fn removed(call: &Call, object: &Value) -> Reply {
    let details = Details {
        name: meta::name(object).to_owned(),
        group: call.resource.group.to_string(),
        kind: call.resource.plural.to_string(),
        uid: meta::uid(object).to_owned(),
        ..Details::default()
    };
    reply::encoded(StatusCode::OK, &Status::success(details), call.accepted.encoding)
}

fn shown(call: &Call, code: StatusCode, object: Value) -> Result<Response, ApiError> {
    call.form().reply_value(code, object)
}

/// 202 for who asked, by the old field, that dependents go first: they have not.
fn code_of_marked(options: &DeleteOptions) -> StatusCode {
    match options.orphan_dependents {
        Some(false) => StatusCode::ACCEPTED,
        Some(true) | None => StatusCode::OK,
    }
}

/// Carries out a delete, again if someone changes the object meanwhile. Where the object lives on for a
/// while, `touch` changes it beside.
///
/// # Errors
///
/// As [`delete`].
pub(crate) async fn run(
    call: &Call,
    options: &DeleteOptions,
    touch: impl Fn(&mut Value) + Send + Sync,
) -> Result<Deleted, ApiError> {
    admission::check_delete(call)?;
    let dry = dry_run(options.dry_run.iter().map(String::as_str))?;
    for _ in 0..ATTEMPTS {
        let entry = call.entry()?;
        let old = entry
            .value
            .to_json(entry.mod_revision)
            .map_err(|e| reply::bug("read a stored object", &e))?;
        let mut deletion = rest::prepare_delete(&call.resource, &old, options, &call.context())?;
        if let Deletion::Mark(object) = &mut deletion {
            touch(object);
        }
        if let Some(done) = carry_out(call, &entry, old, deletion, dry).await? {
            return Ok(done);
        }
    }
    Err(call.conflict("too many others changed the object at the same time; please try again"))
}

/// `None` after a lost race.
async fn carry_out(
    call: &Call,
    entry: &Entry,
    old: Value,
    deletion: Deletion,
    dry: bool,
) -> Result<Option<Deleted>, ApiError> {
    let mut txn = Txn {
        actor: call.actor(),
        compares: vec![Compare::ModRevision(entry.key.clone(), entry.mod_revision)],
        ops: Vec::new(),
    };
    let deleted = match deletion {
        Deletion::Unchanged => return Ok(Some(Deleted::Marked(old))),
        Deletion::Remove => {
            let mut extra = Extra::default();
            services::release(call, &old, &mut extra);
            quota::charge(call, Some(&old), None, &mut extra)?;
            txn.ops.push(Op::Delete {
                key: entry.key.clone(),
            });
            txn.compares.extend(extra.compares);
            txn.ops.extend(extra.ops);
            Deleted::Removed(old)
        }
        Deletion::Mark(object) => {
            let value = commit::encode(&object)?;
            txn.ops.push(commit::put(
                &call.resource,
                entry.key.clone(),
                value,
                call.server.clock.as_ref(),
            ));
            Deleted::Marked(object)
        }
    };
    if dry {
        return Ok(Some(deleted));
    }
    Ok(match commit::propose(call.store(), txn).await? {
        Outcome::Committed { revision } => Some(at_revision(deleted, revision.get())),
        Outcome::Refused { .. } => None,
    })
}

fn at_revision(deleted: Deleted, revision: u64) -> Deleted {
    let renumbered = |mut object: Value| {
        meta::set(&mut object, "resourceVersion", revision.to_string());
        object
    };
    match deleted {
        Deleted::Removed(object) => Deleted::Removed(renumbered(object)),
        Deleted::Marked(object) => Deleted::Marked(renumbered(object)),
    }
}
