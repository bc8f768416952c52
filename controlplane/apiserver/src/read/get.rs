//! One object by name.

use std::sync::Arc;

use controlplane_api::{ApiError, Resource};
use controlplane_store::{Entry, Store};

use crate::read::select;

/// The stored object.
///
/// # Errors
///
/// 404 where it is not there.
pub(crate) fn entry(
    store: &Store,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Result<Arc<Entry>, ApiError> {
    let key = select::key(resource, namespace, name)?;
    store
        .get(&key)
        .ok_or_else(|| ApiError::not_found(&resource.group, &resource.plural, name))
}
