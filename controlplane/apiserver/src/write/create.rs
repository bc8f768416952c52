//! Create: POST to a collection.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use controlplane_api::{ApiError, Cause, Resource, meta, rest};
use controlplane_store::{Compare, Entry, Key, Outcome, Revision, Txn};
use http::StatusCode;
use serde_json::Value;

use crate::auth::restrict;
use crate::call::Call;
use crate::read::select;
use crate::reply::{self, Reply};
use crate::request::query::WriteOptions;
use crate::write::admission::{self, quota};
use crate::write::commit::{self, ATTEMPTS, Extra};
use crate::write::intake::{self, Expected, Intake};
use crate::write::owners;
use crate::write::services;

/// Creates the object in `bytes`.
///
/// # Errors
///
/// 400 and 422 for a bad object, 409 where it is there already, 404 or 403 for its namespace.
pub(crate) async fn create(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let Intake {
        mut object,
        options,
        mut warnings,
    } = intake::read(&call, Expected::of(&call.resource), &media_type, &bytes)?;
    owners::check_manager(&call)?;
    call.resource.to_storage(&mut object);
    // Before admission, so that what the server adds is nobody's.
    owners::track(&call, "", None, &mut object);
    let created = store_new(&call, &object, options, &mut warnings).await?;
    let mut response = created.reply(&call, StatusCode::CREATED)?;
    reply::add_warnings(&mut response, &warnings);
    Ok(response)
}

/// What a write has come to.
#[derive(Debug)]
pub(crate) enum Written {
    /// It is stored.
    Stored(Entry),
    /// It was a dry run; the object as it would be stored.
    Dry(Value),
}

impl Written {
    /// The answer that shows it.
    ///
    /// # Errors
    ///
    /// Only where the object cannot be serialised, which would be a bug.
    pub(crate) fn reply(self, call: &Call, code: StatusCode) -> Result<Response, ApiError> {
        match self {
            Self::Stored(entry) => call.form().reply(code, &entry),
            Self::Dry(object) => call.form().reply_value(code, object),
        }
    }

    /// The object in its stored form.
    ///
    /// # Errors
    ///
    /// Only where stored bytes are no JSON, which would be a bug.
    pub(crate) fn into_value(self) -> Result<Value, ApiError> {
        match self {
            Self::Stored(entry) => entry
                .value
                .to_json(entry.mod_revision)
                .map_err(|error| reply::bug("read a stored object", &error)),
            Self::Dry(object) => Ok(object),
        }
    }
}

/// Stores `object` (in its stored form, structurally sound, its owners noted) under a name that is free.
///
/// # Errors
///
/// As [`create`].
pub(crate) async fn store_new(
    call: &Call,
    object: &Value,
    options: WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Written, ApiError> {
    let generated = meta::name(object).is_empty() && !meta::generate_name_prefix(object).is_empty();
    namespace_holds(call, meta::name(object))?;
    let mut admitted = object.clone();
    admission::fill_new(call, &mut admitted).await?;
    for _ in 0..ATTEMPTS {
        let mut candidate = admitted.clone();
        let mut extra = Extra::default();
        extra.compares.extend(namespace_holds(call, meta::name(object))?);
        let mut heard =
            rest::prepare_create(&call.resource, &mut candidate, call.namespace(), &call.context())?;
        restrict::check(call, &candidate, None)?;
        heard.extend(admission::check_new(call, &candidate)?);
        let key = select::key(&call.resource, call.namespace.as_deref(), meta::name(&candidate))?;
        services::allocate(call, None, &mut candidate, &mut extra)?;
        quota::charge(call, None, Some(&candidate), &mut extra)?;
        quota::measure(call, None, &mut candidate, &mut extra)?;
        if options.dry_run {
            if call.store().get(&key).is_some() && !generated {
                return Err(already_exists(&call.resource, &candidate));
            }
            warnings.extend(heard);
            return Ok(Written::Dry(candidate));
        }
        let value = commit::encode(&candidate)?;
        match commit_new(call, key.clone(), value.clone(), extra).await? {
            Ok(revision) => {
                warnings.extend(heard);
                let expires_at = None;
                let entry = Entry {
                    key,
                    value,
                    create_revision: revision,
                    mod_revision: revision,
                    expires_at,
                };
                return Ok(Written::Stored(settled(call, entry).await?));
            }
            Err(Refusal::Taken) if !generated => return Err(already_exists(&call.resource, &candidate)),
            Err(Refusal::Taken | Refusal::Raced) => {}
        }
    }
    Err(ApiError::server_timeout(
        &call.resource.group,
        &call.resource.plural,
        "create",
        1,
    ))
}

/// The entry as it is in the end: a quota counts once more.
///
/// # Errors
///
/// As a write.
pub(crate) async fn settled(call: &Call, entry: Entry) -> Result<Entry, ApiError> {
    if quota::is_to_settle(call) {
        return quota::settle(call, &entry).await;
    }
    Ok(entry)
}

/// Why a create did not go through.
enum Refusal {
    /// The name is taken.
    Taken,
    /// The namespace or an allocation changed meanwhile.
    Raced,
}

async fn commit_new(
    call: &Call,
    key: Key,
    value: controlplane_store::Value,
    extra: Extra,
) -> Result<Result<Revision, Refusal>, ApiError> {
    let mut txn = Txn {
        actor: call.actor(),
        compares: vec![Compare::Absent(key.clone())],
        ops: extra.ops,
    };
    txn.compares.extend(extra.compares);
    txn.ops.insert(
        0,
        commit::put(&call.resource, key, value, call.server.clock.as_ref()),
    );
    Ok(match commit::propose(call.store(), txn).await? {
        Outcome::Committed { revision } => Ok(revision),
        Outcome::Refused { current } if current.first().is_some_and(Option::is_some) => Err(Refusal::Taken),
        Outcome::Refused { .. } => Err(Refusal::Raced),
    })
}

fn already_exists(resource: &Resource, object: &Value) -> ApiError {
    ApiError::already_exists(&resource.group, &resource.plural, meta::name(object))
}

/// The condition that the namespace lives on unchanged, so that nothing is created in one that is
/// being taken down.
fn namespace_holds(call: &Call, name: &str) -> Result<Option<Compare>, ApiError> {
    let Some(namespace) = call.namespace.as_deref() else {
        return Ok(None);
    };
    let missing = || ApiError::not_found("", "namespaces", namespace);
    let key = Key::parse(&format!("{}namespaces/{namespace}", Key::ROOT)).map_err(|_| missing())?;
    let entry: Arc<Entry> = call.store().get(&key).ok_or_else(missing)?;
    let object = entry
        .value
        .to_json(entry.mod_revision)
        .map_err(|e| reply::bug("read a namespace", &e))?;
    if meta::deletion_timestamp(&object).is_some() {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let cause = Cause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        };
        let Resource { group, plural, .. } = &*call.resource;
        return Err(ApiError::forbidden(group, plural, name, &why).with_cause(cause));
    }
    Ok(Some(Compare::ModRevision(key, entry.mod_revision)))
}
