//! Delete of a whole collection, object by object.

use bytes::Bytes;
use controlplane_api::meta;
use http::StatusCode;
use serde_json::{Value, json};

use crate::call::Call;
use crate::read::list;
use crate::read::select::Selection;
use crate::reply::{self, Reply};
use crate::request::query::ListOptions;
use crate::write::delete;

/// Deletes what the selectors of `call` select; an object that is gone meanwhile is no error.
///
/// # Errors
///
/// Of the first object that cannot be deleted; those before it stay deleted, as upstream.
pub(crate) async fn delete_collection(mut call: Call, media_type: String, bytes: Bytes) -> Reply {
    let options = delete::options(&call.query, &media_type, &bytes)?;
    let listing = ListOptions::parse(&call.query)?;
    let selection = Selection::new(&call.resource, call.namespace.as_deref(), &listing)?;
    let page = list::page(call.store(), &selection, &listing)?;
    let mut items = Vec::new();
    for entry in page.entries {
        if call.resource.is_namespaced() {
            let namespace = entry.key.as_str().rsplit('/').nth(1);
            call.namespace = namespace.map(str::to_owned);
        }
        call.name = Some(entry.key.name().to_owned());
        match delete::run(&call, &options, |_| ()).await {
            Ok(deleted) => items.push(shown(&call, deleted.into_object())),
            Err(error) if error.code() == 404 => {}
            Err(error) => return Err(error),
        }
    }
    let list = json!({
        "kind": call.resource.list_kind,
        "apiVersion": call.resource.api_version(),
        "metadata": {"resourceVersion": call.store().revision().to_string()},
        "items": items,
    });
    reply::encoded(StatusCode::OK, &list, call.accepted.encoding)
}

fn shown(call: &Call, mut object: Value) -> Value {
    call.resource.from_storage(&mut object);
    meta::object_mut(&mut object);
    object
}
