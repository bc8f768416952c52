//! An image's layers: fetched side by side, unpacked one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::NamedTempFile;
use tokio::sync::{OwnedMutexGuard, Semaphore, oneshot};
use tokio::task::JoinSet;

use super::blob;
use super::error::RegistryError;
use super::resolve::{Remote, RemoteLayer};
use super::session::Session;
use super::turns::Turns;
use crate::add::NewLayer;
use crate::error::ImageError;
use crate::store::ImageStore;

/// Layers of one image that are fetched at a time, as containerd does.
const AT_A_TIME: usize = 3;

/// A layer that is there, or its blob, verified. Nobody else works on the layer while the turn is held.
enum Fetched {
    Present,
    Blob {
        file: NamedTempFile,
        turn: OwnedMutexGuard<()>,
    },
}

type Promise = oneshot::Receiver<Result<Fetched, RegistryError>>;

/// Puts every layer of `image` into `store`. Those that are complete stay there whatever becomes of the others.
///
/// Dropping it ends the downloads; a layer that is being unpacked is finished.
pub(crate) async fn bring(
    store: &ImageStore,
    turns: &Turns,
    session: &Arc<Session>,
    image: &Remote,
) -> Result<(), RegistryError> {
    let slots = Arc::new(Semaphore::new(AT_A_TIME));
    let mut downloads = JoinSet::new();
    let mut promises: Vec<(&RemoteLayer, Promise)> = Vec::new();
    for layer in &image.layers {
        let (sender, promise) = oneshot::channel();
        let fetch = Fetch {
            store: store.clone(),
            turn: turns.of(&layer.chain_id),
            slots: Arc::clone(&slots),
            session: Arc::clone(session),
            layer: layer.clone(),
        };
        // A receiver that is gone no longer wants the layer.
        downloads.spawn(async move { drop(sender.send(fetch.run().await)) });
        promises.push((layer, promise));
    }
    let brought = in_order(store, promises).await;
    // Their files go with them.
    downloads.shutdown().await;
    brought
}

async fn in_order(store: &ImageStore, promises: Vec<(&RemoteLayer, Promise)>) -> Result<(), RegistryError> {
    let mut parents: Vec<PathBuf> = Vec::new();
    for (layer, promise) in promises {
        let fetched = promise.await.unwrap_or_else(|_| Err(stopped(layer)))?;
        if let Fetched::Blob { file, turn } = fetched {
            unpack(store, layer, &parents, file, turn).await?;
        }
        let found = store.layers.find(&layer.chain_id);
        let (short, _) = found.ok_or_else(|| stopped(layer))?;
        parents.push(store.layers.path(&short));
    }
    Ok(())
}

fn stopped(layer: &RemoteLayer) -> RegistryError {
    RegistryError::Broken {
        what: format!("layer {}", layer.digest),
        source: std::io::Error::other("the download was stopped"),
    }
}

struct Fetch {
    store: ImageStore,
    turn: Arc<tokio::sync::Mutex<()>>,
    slots: Arc<Semaphore>,
    session: Arc<Session>,
    layer: RemoteLayer,
}

impl Fetch {
    async fn run(self) -> Result<Fetched, RegistryError> {
        // The turn before the slot: whoever waits for another image's download holds up nothing of this one.
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if self.store.layers.find(&self.layer.chain_id).is_some() {
            return Ok(Fetched::Present);
        }
        let _slot = self.slots.acquire().await;
        let failed = |e| {
            let attempted = format!("make a file for layer {}", self.layer.digest);
            RegistryError::Store(self.store.io_error(attempted, e))
        };
        let file = tempfile::Builder::new()
            .prefix("pull-")
            .tempfile_in(self.store.scratch())
            .map_err(failed)?;
        let handle = tokio::fs::File::from_std(file.reopen().map_err(failed)?);
        blob::download(&self.store, &self.session, &self.layer, handle).await?;
        Ok(Fetched::Blob { file, turn })
    }
}

async fn unpack(
    store: &ImageStore,
    layer: &RemoteLayer,
    parents: &[PathBuf],
    file: NamedTempFile,
    turn: OwnedMutexGuard<()>,
) -> Result<(), RegistryError> {
    let (store, parents) = (store.clone(), parents.to_vec());
    let new = NewLayer {
        digest: layer.digest.clone(),
        diff_id: layer.diff_id.clone(),
        chain_id: layer.chain_id.clone(),
    };
    let name = layer.digest.clone();
    let unpacked = tokio::task::spawn_blocking(move || {
        // Until the layer counts, whatever becomes of the one who waits for it.
        let _turn = turn;
        let added = store.add_layer(&new, file.as_file(), &parents);
        drop(file);
        added
    });
    let unpacked = unpacked.await.map_err(|error| {
        RegistryError::Store(ImageError::Io {
            attempted: format!("unpack layer {name}"),
            source: std::io::Error::other(error),
        })
    })?;
    Ok(unpacked?)
}
