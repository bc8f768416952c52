//! Pulls: each image once however many ask, several images side by side.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::Semaphore;

use super::credential::Credential;
use super::endpoint::Endpoint;
use super::error::{RegistryError, Remedy};
use super::keyring::Keyring;
use super::layers;
use super::patience::Patience;
use super::resolve::{current_digest, resolve};
use super::session::Session;
use super::settings::{Settings, SettingsError};
use super::turns::Turns;
use crate::access::Access;
use crate::error::ImageError;
use crate::reference::Reference;
use crate::store::{Image, ImageStore, parse};

/// Images that are pulled at a time.
const AT_A_TIME: usize = 5;

/// An image that a pull brought, or found to be the registry's newest.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The image, in the store.
    pub image: Image,
    /// Time of the pull itself, without the wait for other images.
    pub took: Duration,
}

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The text is no image reference.
    #[error(transparent)]
    Reference(ImageError),
    /// `registries.toml` is not as documented.
    #[error("ask a registry")]
    Settings(#[from] SettingsError),
    /// The whole took too long.
    #[error("image {image} was not there within {} minutes; what came of it is kept", within.as_secs() / 60)]
    TooSlow {
        /// The image.
        image: String,
        /// The deadline that passed.
        within: Duration,
    },
    /// Nobody gave it.
    #[error("{reasons}")]
    Failed {
        /// Who said what.
        reasons: Reasons,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] ImageError),
}

impl PullError {
    /// Whether the image's name is at fault.
    #[must_use]
    pub const fn is_reference(&self) -> bool {
        matches!(self, Self::Reference(_))
    }
}

/// What each registry and mirror answered, with the causes: there are several chains.
#[derive(Debug)]
pub struct Reasons(Vec<(Endpoint, RegistryError)>);

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (endpoint, error)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            let mut chain = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                chain = format!("{chain}: {error}");
                cause = error.source();
            }
            write!(f, "{endpoint}: {chain}{}", advice(&chain))?;
        }
        Ok(())
    }
}

/// What to do about the failures of TLS that a new registry usually meets.
fn advice(chain: &str) -> &'static str {
    const KNOWN: [(&str, &str); 3] = [
        (
            "InvalidContentType",
            " (it does not speak TLS: set plain_http = true for it in registries.toml)",
        ),
        (
            "UnknownIssuer",
            " (set ca_file for it in registries.toml to the authority that signed its certificate)",
        ),
        (
            "CaUsedAsEndEntity",
            " (its certificate signs itself and says it is an authority: sign one with an authority, or set insecure = true)",
        ),
    ];
    KNOWN
        .iter()
        .find(|(words, _)| chain.contains(words))
        .map_or("", |(_, advice)| advice)
}

type Outcome = Result<Pulled, Arc<PullError>>;
type Flight = Shared<BoxFuture<'static, Outcome>>;
type Flights = BTreeMap<(String, Keyring), WeakShared<BoxFuture<'static, Outcome>>>;

/// Pulls images into a store. Clones share what is under way.
#[derive(Clone)]
pub struct Puller(Arc<Inner>);

struct Inner {
    store: ImageStore,
    settings_file: PathBuf,
    patience: Patience,
    turns: Turns,
    slots: Semaphore,
    flights: Mutex<Flights>,
}

impl fmt::Debug for Puller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(inner) = self;
        f.debug_struct("Puller")
            .field("store", &inner.store)
            .field("settings_file", &inner.settings_file)
            .finish_non_exhaustive()
    }
}

impl Puller {
    /// Pulls into `store`, by the settings in `settings_file` (`registries.toml`), read anew for each pull.
    #[must_use]
    pub fn new(store: ImageStore, settings_file: PathBuf) -> Self {
        Self::with_patience(store, settings_file, Patience::DEFAULT)
    }

    pub(crate) fn with_patience(store: ImageStore, settings_file: PathBuf, patience: Patience) -> Self {
        Self(Arc::new(Inner {
            store,
            settings_file,
            patience,
            turns: Turns::default(),
            slots: Semaphore::new(AT_A_TIME),
            flights: Mutex::default(),
        }))
    }

    /// Pulls `image`, or finds that the store has what the registry has. Callers with the same credentials
    /// share one pull; when all of them are dropped it ends, and its complete layers stay.
    ///
    /// # Errors
    ///
    /// When no registry gives it, or the store fails.
    pub async fn pull(&self, image: &str, keyring: &Keyring) -> Outcome {
        let reference = parse(image).map_err(|error| Arc::new(PullError::Reference(error)))?;
        self.flight(reference, keyring).await
    }

    fn flight(&self, reference: Reference, keyring: &Keyring) -> Flight {
        let mut flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has landed is not joined: the registry may have changed since.
        flights.retain(|_, flight| flight.upgrade().is_some_and(|flight| flight.peek().is_none()));
        let key = (reference.to_string(), keyring.clone());
        if let Some(flight) = flights.get(&key).and_then(WeakShared::upgrade) {
            return flight;
        }
        let (inner, keyring) = (Arc::clone(&self.0), keyring.clone());
        let flight = async move { inner.run(&reference, &keyring).await.map_err(Arc::new) };
        let flight = flight.boxed().shared();
        flights.extend(flight.downgrade().map(|weak| (key, weak)));
        flight
    }
}

impl Inner {
    async fn run(&self, reference: &Reference, keyring: &Keyring) -> Result<Pulled, PullError> {
        let _slot = self.slots.acquire().await;
        let began = Instant::now();
        let settings = Settings::load(&self.settings_file)?;
        let within = self.patience.image;
        let pulled = tokio::time::timeout(within, self.ask_all(&settings, reference, keyring));
        let late = |_| PullError::TooSlow {
            image: reference.to_string(),
            within,
        };
        pulled.await.map_err(late)??;
        let image = self.find(reference).await?;
        Ok(Pulled {
            image,
            took: began.elapsed(),
        })
    }

    async fn ask_all(
        &self,
        settings: &Settings,
        reference: &Reference,
        keyring: &Keyring,
    ) -> Result<(), PullError> {
        let mut reasons = Vec::new();
        for endpoint in settings.endpoints(reference) {
            let failures = match self.ask_one(&endpoint, reference, keyring).await {
                Ok(()) => return Ok(()),
                Err(failures) => failures,
            };
            for error in failures {
                tracing::debug!(endpoint = %endpoint, image = %reference, error = %error, "not pulled from here");
                match error {
                    RegistryError::Store(error) if is_local(&error) => return Err(error.into()),
                    error => reasons.push((endpoint.clone(), error)),
                }
            }
        }
        Err(PullError::Failed {
            reasons: Reasons(reasons),
        })
    }

    /// With each credential in turn, as the kubelet does; without any only where there is none.
    async fn ask_one(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        keyring: &Keyring,
    ) -> Result<(), Vec<RegistryError>> {
        let keys = keys(endpoint, reference, keyring).map_err(|error| vec![error])?;
        let mut failures = Vec::new();
        for key in keys {
            let Err(error) = self.attempt(endpoint, key, reference).await else {
                return Ok(());
            };
            let absent = matches!(error, RegistryError::NotFound { .. });
            let next = absent || error.remedy() == Remedy::OtherCredentials;
            failures.push(error);
            if !next {
                break;
            }
        }
        Err(failures)
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        key: Key,
        reference: &Reference,
    ) -> Result<(), RegistryError> {
        let access = key.access();
        let session = Session::new(endpoint.clone(), key.credential(), &self.patience).await?;
        let session = Arc::new(session);
        if self.is_current(&session, reference).await? {
            let (store, name) = (self.store.clone(), reference.clone());
            return Ok(blocking(move || store.open_to(&name, access)).await?);
        }
        let remote = Arc::new(resolve(&session, reference).await?);
        let chain_ids = remote.layers.iter().map(|l| l.chain_id.clone()).collect();
        let store = self.store.clone();
        let lease = blocking(move || store.lease(chain_ids)).await?;
        layers::bring(&self.store, &self.turns, &session, &remote).await?;
        let (store, name) = (self.store.clone(), reference.clone());
        blocking(move || {
            let kept = store.keep(&remote, &name, &access);
            drop(lease);
            kept
        })
        .await?;
        Ok(())
    }

    /// Whether the store has what the registry has: one request without a body instead of several.
    async fn is_current(&self, session: &Session, reference: &Reference) -> Result<bool, RegistryError> {
        let (store, name) = (self.store.clone(), reference.clone());
        let Some(known) = blocking(move || store.manifest_of(&name)).await? else {
            return Ok(false);
        };
        match current_digest(session, reference).await {
            Ok(digest) => Ok(digest.is_some_and(|digest| digest == known)),
            // Not everybody answers HEAD.
            Err(RegistryError::Refused {
                status: 400..=499, ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn find(&self, reference: &Reference) -> Result<Image, PullError> {
        let (store, name) = (self.store.clone(), reference.to_string());
        let found = blocking(move || store.resolve(&name)).await?;
        found.ok_or_else(|| {
            PullError::Store(ImageError::Io {
                attempted: format!("find image {reference} after its pull"),
                source: std::io::ErrorKind::NotFound.into(),
            })
        })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ImageError::Io {
        attempted: "work on the image store".to_owned(),
        source: std::io::Error::other(error),
    })?
}

/// Whether no registry can help.
const fn is_local(error: &ImageError) -> bool {
    matches!(
        error,
        ImageError::Io { .. } | ImageError::DiskFull { .. } | ImageError::OnOverlay { .. }
    )
}

/// With what an endpoint is asked.
enum Key {
    None,
    Pod(Credential),
    /// For every pod of the node.
    Node(Credential),
}

impl Key {
    fn credential(&self) -> Option<Credential> {
        match self {
            Self::None => None,
            Self::Pod(credential) | Self::Node(credential) => Some(credential.clone()),
        }
    }

    /// Who may use what is pulled so.
    fn access(&self) -> Access {
        match self {
            Self::None | Self::Node(_) => Access::Anyone,
            Self::Pod(credential) => Access::with(credential),
        }
    }
}

/// The pod's credentials, then the node's; those of the image's registry are not for its mirrors.
fn keys(endpoint: &Endpoint, reference: &Reference, keyring: &Keyring) -> Result<Vec<Key>, RegistryError> {
    let name = match &endpoint.namespace {
        None => reference.name(),
        Some(_) => format!("{}/{}", endpoint.host, endpoint.repository),
    };
    let mut found: Vec<Key> = keyring.lookup(&name).into_iter().map(Key::Pod).collect();
    if let Some(path) = &endpoint.credentials_file {
        let text = std::fs::read(path).map_err(|source| RegistryError::CredentialsFile {
            path: path.clone(),
            source,
        })?;
        let mut own = Keyring::default();
        let parsed = own.add_config_json(&text);
        parsed.map_err(|source| RegistryError::Credentials {
            path: path.clone(),
            source,
        })?;
        found.extend(own.lookup(&name).into_iter().map(Key::Node));
    }
    if found.is_empty() {
        found.push(Key::None);
    }
    Ok(found)
}
