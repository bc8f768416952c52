//! Keeping up with the objects.

use std::sync::Arc;

use controlplane_store::{Entry, Key, Range, Store, WatchError};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Config, Flow, TOTAL_SEATS};

/// Goes by the objects in `store`, whenever they change, until `stop`.
pub(crate) async fn follow(flow: Flow, store: Store, stop: CancellationToken) {
    let folder = format!("{}flowcontrol.apiserver.k8s.io/", Key::ROOT);
    loop {
        let (listing, mut watch) = match store.list_and_watch(&Range::prefix(&folder)) {
            Ok(both) => both,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "flow control stays as it is: its objects cannot be read"
                );
                return;
            }
        };
        if let Some(config) = read(&listing.entries) {
            flow.configure(config);
        }
        tokio::select! {
            biased;
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: everything is read anew after whatever it was.
            changed = watch.next() => match changed {
                Ok(_) | Err(WatchError::Lagged { .. }) => debug!("flow control changed"),
                Err(WatchError::Closed { .. }) => return,
            },
        }
    }
}

/// What the objects say; none as long as there are no levels.
fn read(entries: &[Arc<Entry>]) -> Option<Config> {
    let levels = objects(entries, "/prioritylevelconfigurations/");
    let schemas = objects(entries, "/flowschemas/");
    (!levels.is_empty()).then(|| Config::of(TOTAL_SEATS, &schemas, &levels))
}

fn objects(entries: &[Arc<Entry>], folder: &str) -> Vec<Value> {
    let parse = |entry: &Arc<Entry>| {
        let read = entry.value.to_json(entry.mod_revision);
        read.inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            warn!(
                error,
                key = entry.key.as_str(),
                "leave out an object that cannot be read"
            );
        })
        .ok()
    };
    let in_folder = entries.iter().filter(|entry| entry.key.as_str().contains(folder));
    in_folder.filter_map(parse).collect()
}
