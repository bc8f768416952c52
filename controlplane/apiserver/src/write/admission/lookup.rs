//! Reading other objects while one is admitted.

use std::sync::Arc;

use controlplane_api::ApiError;
use controlplane_store::{Entry, Key, Range};
use serde_json::Value;

use crate::call::Call;
use crate::reply;

/// The object of an entry.
///
/// # Errors
///
/// As [`named`].
pub(super) fn parsed(entry: &Entry) -> Result<Value, ApiError> {
    let object = entry.value.to_json(entry.mod_revision);
    object.map_err(|error| reply::bug("read what an object depends on", &error))
}

fn contains(entry: &Entry, mark: &str) -> bool {
    let mark = mark.as_bytes();
    mark.is_empty()
        || entry
            .value
            .bytes()
            .windows(mark.len())
            .any(|window| window == mark)
}

/// The entries under `folder`.
///
/// # Errors
///
/// As [`named`].
pub(super) fn entries(call: &Call, folder: &str) -> Result<Vec<Arc<Entry>>, ApiError> {
    let range = Range::prefix(format!("{}{folder}/", Key::ROOT));
    let listed = call.store().list(&range);
    let listed = listed.map_err(|error| reply::bug("list what an object depends on", &error))?;
    Ok(listed.entries)
}

/// The object under `folder` (such as `storage.k8s.io/storageclasses`, or with a namespace after it) with this name.
///
/// # Errors
///
/// Only where stored bytes are no JSON, which would be a bug.
pub(super) fn named(call: &Call, folder: &str, name: &str) -> Result<Option<Value>, ApiError> {
    named_if(call, folder, name, "")
}

/// As [`named`], where the object's bytes contain `mark`; others are not parsed.
///
/// # Errors
///
/// As [`named`].
pub(super) fn named_if(call: &Call, folder: &str, name: &str, mark: &str) -> Result<Option<Value>, ApiError> {
    let key = Key::parse(&format!("{}{folder}/{name}", Key::ROOT)).ok();
    let entry = key.and_then(|key| call.store().get(&key));
    entry
        .filter(|entry| contains(entry, mark))
        .map(|entry| parsed(&entry))
        .transpose()
}

/// The objects under `folder` whose bytes contain `mark`; others are not parsed.
///
/// # Errors
///
/// As [`named`].
pub(super) fn marked(call: &Call, folder: &str, mark: &str) -> Result<Vec<Value>, ApiError> {
    let entries = entries(call, folder)?;
    let marked = entries.iter().filter(|entry| contains(entry, mark));
    marked.map(|entry| parsed(entry)).collect()
}

/// Up to `most` objects under `folder`, and how many there are.
///
/// # Errors
///
/// As [`named`].
pub(super) fn first(call: &Call, folder: &str, most: usize) -> Result<(Vec<Value>, usize), ApiError> {
    let entries = entries(call, folder)?;
    let objects = entries.iter().take(most).map(|entry| parsed(entry));
    Ok((objects.collect::<Result<_, _>>()?, entries.len()))
}
