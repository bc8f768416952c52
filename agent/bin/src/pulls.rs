//! A container's image: in the store already, or out of a registry with the pod's secrets.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_core::EventDraft;
use agent_images::{Image, ImageError, ImageStore, Keyring, PullError, Puller};
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::events::Events;
use crate::objects::{Objects, Reference};
use crate::wake::Wake;

/// Brings images for the containers of all pods.
pub(crate) struct Pulls {
    store: ImageStore,
    puller: Puller,
    objects: Objects,
    events: Events,
}

/// Whose image is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) pod: Arc<Pod>,
    pub(crate) uid: String,
    pub(crate) container: Container,
    pub(crate) wake: Arc<Wake>,
}

/// An image that the container may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What the status says: `docker.io/library/nginx@sha256:…`, or the image ID where it has no digest.
    pub(crate) id: String,
    /// As the pod names it.
    pub(crate) reference: String,
}

/// Why there is none, with the reason that a waiting container has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// `imagePullPolicy`, which the API server has defaulted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    IfNotPresent,
    Never,
}

impl Policy {
    fn of(container: &Container) -> Self {
        match container.image_pull_policy.as_deref() {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            Some(_) | None => Self::IfNotPresent,
        }
    }
}

impl Wanted {
    fn reference(&self) -> &str {
        self.container.image.as_deref().unwrap_or_default()
    }
}

impl Pulls {
    /// Pulls into `store` by the settings in `registries_file`.
    pub(crate) fn new(store: ImageStore, registries_file: &Path, objects: Objects, events: Events) -> Self {
        Self {
            puller: Puller::new(store.clone(), registries_file.to_owned()),
            store,
            objects,
            events,
        }
    }

    /// The image, where no registry and no secret have to be asked: the usual case, which costs no more than
    /// reading the store. Every other case is for [`Self::bring`].
    pub(crate) async fn at_hand(&self, wanted: &Wanted) -> Option<Found> {
        if Policy::of(&wanted.container) == Policy::Always {
            return None;
        }
        let (store, reference) = (self.store.clone(), wanted.reference().to_owned());
        let open = blocking(move || {
            let image = store.resolve(&reference)?;
            let open = store.is_open_to(&reference, &Keyring::default())?;
            Ok(image.filter(|_| open))
        });
        Some(self.found(wanted, &open.await.ok()??))
    }

    /// Brings the image by the container's policy, and tells events of it. Takes as long as it takes.
    pub(crate) async fn bring(&self, wanted: &Wanted) -> Result<Found, Missing> {
        let (reference, policy) = (wanted.reference(), Policy::of(&wanted.container));
        let present = self
            .present(reference)
            .await
            .map_err(|e| unreadable(reference, &e))?;
        let keyring = self.keyring(wanted).await;
        let open = self.is_open(reference, keyring.clone()).await;
        let open = open.map_err(|e| unreadable(reference, &e))?;
        match (policy, present) {
            (Policy::Never | Policy::IfNotPresent, Some(image)) if open => Ok(self.found(wanted, &image)),
            (Policy::Never, present) => Err(never(reference, present.is_some())),
            (Policy::IfNotPresent | Policy::Always, _) => self.pull(wanted, &keyring).await,
        }
    }

    async fn pull(&self, wanted: &Wanted, keyring: &Keyring) -> Result<Found, Missing> {
        let reference = wanted.reference();
        self.tell(
            wanted,
            EventDraft::normal("Pulling", format!("Pulling image \"{reference}\"")),
        );
        let asked = Instant::now();
        let pulled = Box::pin(self.puller.pull(reference, keyring)).await;
        let pulled = pulled.map_err(|error| failed(reference, &error))?;
        let (took, waited) = (rounded(pulled.took), rounded(asked.elapsed().max(pulled.took)));
        let message = format!(
            "Successfully pulled image \"{reference}\" in {took} ({waited} including waiting). Image size: {} bytes.",
            pulled.image.size
        );
        info!(image = reference, took, "image pulled");
        self.tell(wanted, EventDraft::normal("Pulled", message));
        Ok(of_image(reference, &pulled.image))
    }

    fn found(&self, wanted: &Wanted, image: &Image) -> Found {
        let message = format!(
            "Container image \"{}\" already present on machine and can be accessed by the pod",
            wanted.reference()
        );
        self.tell(wanted, EventDraft::normal("Pulled", message));
        of_image(wanted.reference(), image)
    }

    fn tell(&self, wanted: &Wanted, draft: EventDraft) {
        self.events
            .about_pod(&wanted.pod, Some(&wanted.container.name), draft);
    }

    async fn present(&self, reference: &str) -> Result<Option<Image>, ImageError> {
        let (store, reference) = (self.store.clone(), reference.to_owned());
        blocking(move || store.resolve(&reference)).await
    }

    async fn is_open(&self, reference: &str, keyring: Keyring) -> Result<bool, ImageError> {
        let (store, reference) = (self.store.clone(), reference.to_owned());
        blocking(move || store.is_open_to(&reference, &keyring)).await
    }

    /// What the pod's pull secrets hold; one that is missing or malformed is told and left out.
    async fn keyring(&self, wanted: &Wanted) -> Keyring {
        let namespace = wanted.pod.metadata.namespace.clone().unwrap_or_default();
        let spec = wanted.pod.spec.iter();
        let listed = spec.flat_map(|spec| spec.image_pull_secrets.iter().flatten());
        let names: Vec<String> = listed
            .map(|secret| secret.name.clone())
            .filter(|n| !n.is_empty())
            .collect();
        let mut keyring = Keyring::default();
        if names.is_empty() {
            return keyring;
        }
        let reference = |name: &String| Reference::Secret {
            namespace: namespace.clone(),
            name: name.clone(),
        };
        let references: BTreeSet<Reference> = names.iter().map(reference).collect();
        let objects = self.objects.get(&wanted.uid, &wanted.wake, &references).await;
        let mut unusable = Vec::new();
        for name in &names {
            let added = objects.secrets.get(name).map(|secret| add(&mut keyring, secret));
            match added {
                Some(Ok(())) => {}
                Some(Err(problem)) => {
                    warn!(secret = name, problem, "pull secret not used");
                    unusable.push(format!("{name} ({problem})"));
                }
                None => unusable.push(name.clone()),
            }
        }
        if !unusable.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                unusable.join(", ")
            );
            let event = EventDraft::warning("FailedToRetrieveImagePullSecret", message);
            self.events.about_pod(&wanted.pod, None, event);
        }
        keyring
    }
}

/// Adds what `secret` holds, which must be of one of the two types for registries.
fn add(keyring: &mut Keyring, secret: &Secret) -> Result<(), String> {
    let data = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let added = match (data(".dockerconfigjson"), data(".dockercfg")) {
        (Some(text), _) => keyring.add_config_json(&text.0),
        (None, Some(text)) => keyring.add_config(&text.0),
        (None, None) => {
            let type_ = secret.type_.as_deref().unwrap_or("Opaque");
            return Err(format!(
                "it is of type {type_}, not kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg"
            ));
        }
    };
    added.map_err(|error| error.to_string())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ImageError::Io {
        attempted: "read the image store".to_owned(),
        source: std::io::Error::other(error),
    })?
}

fn of_image(reference: &str, image: &Image) -> Found {
    Found {
        id: image.status_id().to_owned(),
        reference: reference.to_owned(),
    }
}

fn unreadable(reference: &str, error: &ImageError) -> Missing {
    match error {
        ImageError::Reference { source, .. } => invalid_name(reference, source),
        other => Missing {
            reason: "ImageInspectError",
            message: format!("Failed to inspect image \"{reference}\": {}", chain(other)),
        },
    }
}

fn failed(reference: &str, error: &PullError) -> Missing {
    match error {
        PullError::Reference(ImageError::Reference { source, .. }) => invalid_name(reference, source),
        other => Missing {
            reason: "ErrImagePull",
            // The event says which image, as does the back-off's message.
            message: chain(other),
        },
    }
}

fn invalid_name(reference: &str, rule: &dyn std::error::Error) -> Missing {
    Missing {
        reason: "InvalidImageName",
        message: format!(
            "Failed to apply default image tag \"{reference}\": couldn't parse image name \"{reference}\": \
             invalid reference format: {rule}"
        ),
    }
}

fn never(reference: &str, present: bool) -> Missing {
    let message = if present {
        format!(
            "Container image \"{reference}\" is present with pull policy of Never but does not have the proper \
             credentials to access the image"
        )
    } else {
        format!("Container image \"{reference}\" is not present with pull policy of Never")
    };
    Missing {
        reason: "ErrImageNeverPull",
        message,
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A duration as Go prints it, cut to milliseconds: `345ms`, `1.2s`, `2m3.45s`.
fn rounded(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return if millis == 0 {
            "0s".to_owned()
        } else {
            format!("{millis}ms")
        };
    }
    let (seconds, part) = (millis / 1000, millis % 1000);
    let part = format!(".{part:03}");
    let part = part.trim_end_matches('0').trim_end_matches('.');
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}{part}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}{part}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}{part}s"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    #[test]
    fn durations_are_as_go_prints_them() {
        let rows = [
            (0, "0s"),
            (7, "7ms"),
            (1000, "1s"),
            (1234, "1.234s"),
            (1200, "1.2s"),
            (60_000, "1m0s"),
            (123_450, "2m3.45s"),
            (3_600_001, "1h0m0.001s"),
        ];
        for (millis, text) in rows {
            assert_eq!(rounded(Duration::from_millis(millis)), text);
        }
    }

    fn secret(type_: &str, key: &str, text: &str) -> Secret {
        Secret {
            metadata: ObjectMeta::default(),
            type_: Some(type_.to_owned()),
            data: Some([(key.to_owned(), ByteString(text.as_bytes().to_vec()))].into()),
            ..Secret::default()
        }
    }

    #[test]
    fn both_types_of_pull_secrets_are_read_and_another_is_named() {
        let mut keyring = Keyring::default();
        let entry = r#"{"r.io": {"username": "u", "password": "p"}}"#;
        let old = secret("kubernetes.io/dockercfg", ".dockercfg", entry);
        let new = secret(
            "kubernetes.io/dockerconfigjson",
            ".dockerconfigjson",
            &format!("{{\"auths\": {entry}}}"),
        );
        assert_eq!(add(&mut keyring, &old), Ok(()));
        assert_eq!(add(&mut keyring, &new), Ok(()));
        assert_eq!(keyring.lookup("r.io/x").len(), 1);
        let other = add(&mut keyring, &secret("Opaque", "password", "p")).unwrap_err();
        assert!(other.contains("Opaque"), "{other}");
    }

    #[test]
    fn the_reason_tells_a_bad_name_from_an_absent_image() {
        let bad = agent_images::Reference::parse("NGINX").unwrap_err();
        let missing = invalid_name("NGINX", &bad);
        assert_eq!(missing.reason, "InvalidImageName");
        assert!(missing.message.contains("invalid reference format"));
        assert_eq!(never("x", false).reason, "ErrImageNeverPull");
        assert!(never("x", true).message.contains("credentials"));
    }
}
