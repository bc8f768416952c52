//! Proposing transactions, and the store's refusals in the API's words.

use controlplane_api::{ApiError, Resource, meta};
use controlplane_store::{Compare, Key, Op, Outcome, Store, StoreError, Txn, Value as Stored};
use serde_json::Value;

use crate::clock::Clock;
use crate::reply::bug;

/// Largest stored object in bytes, as upstream's store allows.
const MAX_OBJECT: usize = 1536 * 1024;

/// How often a write is tried again when others change the same object meanwhile.
///
/// Each refusal means that somebody else's write went through, so this bounds bad luck, not time.
pub(crate) const ATTEMPTS: usize = 64;

/// Compares and operations that a write needs beside its own object.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) compares: Vec<Compare>,
    pub(crate) ops: Vec<Op>,
}

/// Serialises an object for the store.
///
/// # Errors
///
/// 413 where it is too large.
pub(crate) fn encode(object: &Value) -> Result<Stored, ApiError> {
    let encoded = |object: &Value| {
        Stored::encode(object).map_err(|error| bug("serialise an object for the store", &error))
    };
    let mut stored = encoded(object)?;
    if stored.bytes().len() > MAX_OBJECT {
        // Who owns what is worth less than the object.
        let mut object = object.clone();
        meta::remove(&mut object, "managedFields");
        stored = encoded(&object)?;
    }
    match stored.bytes().len() {
        size if size > MAX_OBJECT => Err(ApiError::too_large(&format!(
            "the object has {size} bytes, limit is {MAX_OBJECT}"
        ))),
        _ => Ok(stored),
    }
}

/// The operation that writes `value`, with the expiry of its kind.
pub(crate) fn put(resource: &Resource, key: Key, value: Stored, clock: &dyn Clock) -> Op {
    let now = u64::try_from(clock.now().as_second()).unwrap_or_default();
    let expires_at = resource.ttl.map(|ttl| now.saturating_add(ttl.as_secs()));
    Op::Put {
        key,
        value,
        expires_at,
    }
}

/// Proposes a transaction.
///
/// # Errors
///
/// 503 or 500 where the store could not carry it out; what cannot be told is said so.
pub(crate) async fn propose(store: &Store, txn: Txn) -> Result<Outcome, ApiError> {
    store.commit(txn).await.map_err(|error| match &error {
        StoreError::TooLarge { limit, .. } => ApiError::too_large(&format!("limit is {limit}")),
        StoreError::NotWritten(cause) => {
            tracing::error!(
                error = cause.as_ref() as &dyn std::error::Error,
                "store refused a write"
            );
            ApiError::service_unavailable(format!("the store could not write, nothing was changed: {cause}"))
        }
        StoreError::Unknown(cause) => {
            tracing::error!(
                error = cause.as_ref() as &dyn std::error::Error,
                "outcome of a write is unknown"
            );
            ApiError::timeout("the store cannot tell whether the write was carried out")
        }
        StoreError::NoLeader => ApiError::service_unavailable(format!("nothing was changed: {error}")),
        StoreError::Closed => ApiError::service_unavailable("the server is shutting down"),
        other => bug("write to the store", other),
    })
}
