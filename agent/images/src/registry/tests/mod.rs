//! Pulls from a registry in this process.

mod access;
mod faults;
mod pulls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::fake::Fake;
use super::keyring::Keyring;
use super::patience::Patience;
use super::pull::{PullError, Pulled, Puller};
use crate::fixture::{LayerTar, folder};
use crate::store::ImageStore;

/// A store and what pulls into it.
struct Node {
    dir: TempDir,
    store: ImageStore,
    puller: Puller,
}

impl Node {
    fn new(settings: &str) -> Self {
        Self::with_patience(settings, patience())
    }

    /// One that gives a registry up which says nothing for so long.
    fn impatient(stall: Duration) -> Self {
        let patience = Patience {
            stall,
            document: 2 * stall,
            window: 2 * stall,
            ..patience()
        };
        Self::with_patience("", patience)
    }

    fn with_patience(settings: &str, patience: Patience) -> Self {
        let dir = folder();
        let store = ImageStore::open(dir.path().join("store")).unwrap();
        let file = dir.path().join("registries.toml");
        std::fs::write(&file, settings).unwrap();
        Self {
            puller: Puller::with_patience(store.clone(), file, patience),
            store,
            dir,
        }
    }

    async fn pull(&self, image: &str) -> Result<Pulled, Arc<PullError>> {
        self.puller.pull(image, &Keyring::default()).await
    }

    /// What the pull says when it fails.
    async fn refused(&self, image: &str) -> String {
        self.refused_with(image, &Keyring::default()).await
    }

    async fn refused_with(&self, image: &str, keyring: &Keyring) -> String {
        self.puller.pull(image, keyring).await.unwrap_err().to_string()
    }

    /// Files that are in none of the store's final places.
    fn scratch(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path().join("store/tmp")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn layers(&self) -> usize {
        self.store.layers.all().unwrap().len()
    }
}

/// As long as ever with a registry that is slow, as everything on a busy machine is.
fn patience() -> Patience {
    Patience {
        pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
        ..Patience::DEFAULT
    }
}

fn keyring(host: &str, credentials: &[(&str, &str)]) -> Keyring {
    let mut keyring = Keyring::default();
    for (user, password) in credentials {
        let entry = serde_json::json!({"auths": {host: {"username": user, "password": password}}});
        keyring.add_config_json(entry.to_string().as_bytes()).unwrap();
    }
    keyring
}

fn layer(name: &str) -> Vec<u8> {
    LayerTar::new().file(name, name).done()
}

/// A layer whose blob is not small, even compressed.
fn big_layer() -> Vec<u8> {
    use std::fmt::Write as _;
    let mut text = String::new();
    while text.len() < 1 << 20 {
        write!(text, "{:016x}", rand::random::<u64>()).unwrap();
    }
    LayerTar::new().file("big", &text).done()
}

/// A registry with one image `app:v1` of two layers.
async fn registry() -> (Fake, String) {
    let fake = Fake::start().await;
    fake.image("app", "v1", &[layer("base"), layer("top")]);
    let name = fake.name("app:v1");
    (fake, name)
}
