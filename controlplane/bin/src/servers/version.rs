//! Each server says of itself which version it runs.

use controlplane_raft::ServerId;
use futures::StreamExt as _;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{changes, kind};

/// What this program is.
const OWN: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// Writes the version into the object of the server `id` whenever it is not there, until `stop`.
pub(crate) async fn tell(client: Client, id: ServerId, stop: CancellationToken) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind());
    let mut objects = std::pin::pin!(changes(&api));
    let id = id.to_string();
    while let Some(Some(change)) = stop.run_until_cancelled(objects.next()).await {
        let Some(object) = change else { continue };
        let is = |path: &str, wanted: &str| object.data.pointer(path).and_then(Value::as_str) == Some(wanted);
        if !is("/spec/id", &id) || is("/status/version", OWN) {
            continue;
        }
        let name = object.metadata.name.unwrap_or_default();
        let patch = Patch::Merge(json!({"status": {"version": OWN}}));
        // Tried again when the object next changes, as it does when a server is lost or found.
        if let Err(error) = api.patch_status(&name, &PatchParams::default(), &patch).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "the version could not be told"
            );
        }
    }
}
