//! From a name to what is to be fetched: index → manifest → configuration, each digest verified.

use http::Method;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use serde::Deserialize;

use super::error::RegistryError;
use super::session::{Document, Session, Wish};
use crate::digest;
use crate::manifest::architecture;
use crate::reference::Reference;

/// Bytes of an index, a manifest or a configuration (as registries limit them).
const LIMIT: u64 = 4 << 20;
/// Indexes in indexes.
const DEPTH: usize = 3;
/// Layers of an image: the options of an overlay mount hold about 280.
const LAYERS: usize = 250;
const DIGEST: &str = "docker-content-digest";
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// An image as a registry has it.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    /// Digest of what the name stands for: an index or a manifest.
    pub(crate) manifest: String,
    /// The image ID.
    pub(crate) id: String,
    pub(crate) config: ImageConfiguration,
    pub(crate) config_bytes: u64,
    /// Lowest first.
    pub(crate) layers: Vec<RemoteLayer>,
}

/// A layer of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteLayer {
    /// Digest of the blob.
    pub(crate) digest: String,
    /// Its bytes.
    pub(crate) size: u64,
    /// Digest of the uncompressed layer.
    pub(crate) diff_id: String,
    /// Identity on top of those beneath it.
    pub(crate) chain_id: String,
}

/// The digest that `image` has at the registry now, as far as it tells without the manifest itself.
pub(crate) async fn current_digest(
    session: &Session,
    image: &Reference,
) -> Result<Option<String>, RegistryError> {
    let name = image.to_string();
    let wish = Wish {
        what: &name,
        method: Method::HEAD,
        path: format!("manifests/{}", tag_or_digest(image)),
        accept: MANIFESTS,
        limit: 0,
    };
    let answer = session.ask(&wish).await?;
    Ok(header_digest(&answer))
}

/// Reads all that must be known of `image` before its layers are fetched.
pub(crate) async fn resolve(session: &Session, image: &Reference) -> Result<Remote, RegistryError> {
    let name = image.to_string();
    let (bytes, top) = manifest(session, &name, &tag_or_digest(image), image.digest()).await?;
    let mut found = bytes;
    for _ in 0..DEPTH {
        if !is_index(&found) {
            let manifest: ImageManifest =
                parse(&name, &found, "is no image manifest (OCI or Docker schema 2)")?;
            return of_manifest(session, &name, &manifest, top).await;
        }
        let index: ImageIndex = parse(&name, &found, "is no image index")?;
        let chosen = choose(&name, &index)?.digest().to_string();
        let what = format!("{name} for linux/{}", architecture());
        found = manifest(session, &what, &chosen, Some(&chosen)).await?.0;
    }
    Err(malformed(&name, format!("has indexes more than {DEPTH} deep")))
}

fn tag_or_digest(image: &Reference) -> String {
    let tag = || image.tag().unwrap_or("latest");
    image.digest().unwrap_or_else(tag).to_owned()
}

fn header_digest(document: &Document) -> Option<String> {
    let value = document.headers.get(DIGEST)?.to_str().ok()?;
    digest::hex(value).map(|_| value.to_owned())
}

/// The manifest or index at `at`, with its digest, which is `expected` where that is known.
async fn manifest(
    session: &Session,
    what: &str,
    at: &str,
    expected: Option<&str>,
) -> Result<(Vec<u8>, String), RegistryError> {
    let wish = Wish {
        what,
        method: Method::GET,
        path: format!("manifests/{at}"),
        accept: MANIFESTS,
        limit: LIMIT,
    };
    let document = session.ask(&wish).await?;
    let told = header_digest(&document);
    let actual = digest::of(&document.bytes);
    verify(what, expected.or(told.as_deref()), &actual)?;
    Ok((document.bytes.to_vec(), actual))
}

fn verify(what: &str, expected: Option<&str>, actual: &str) -> Result<(), RegistryError> {
    match expected {
        Some(expected) if expected != actual => Err(RegistryError::WrongDigest {
            what: what.to_owned(),
            expected: expected.to_owned(),
            actual: actual.to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// The index's entry for this machine; the plainest variant where there are several.
fn choose<'a>(what: &str, index: &'a ImageIndex) -> Result<&'a Descriptor, RegistryError> {
    let wanted = architecture();
    let platform = |listed: &Descriptor| {
        let platform = listed.platform().as_ref()?;
        Some((
            platform.os().to_string(),
            platform.architecture().to_string(),
            platform.variant().clone().unwrap_or_default(),
        ))
    };
    let rank = |listed: &Descriptor| match platform(listed) {
        Some((os, arch, _)) if os != "linux" || arch != wanted => None,
        Some((_, _, variant)) => Some(match (wanted, variant.as_str()) {
            (_, "") | ("amd64", "v1") | ("arm64", "v8") | ("arm", "v7") => 0,
            ("arm", "v6") => 1,
            ("arm", "v5") => 2,
            _ => 3,
        }),
        // Says nothing: its configuration will.
        None => Some(4),
    };
    let ranked = index.manifests().iter().filter_map(|m| Some((rank(m)?, m)));
    if let Some((_, chosen)) = ranked.min_by_key(|(rank, _)| *rank) {
        return Ok(chosen);
    }
    let known = index.manifests().iter().filter_map(platform);
    let known = known.filter(|(os, _, _)| os != "unknown");
    let offered: Vec<String> = known.map(|(os, arch, _)| format!("{os}/{arch}")).collect();
    Err(no_platform(what, &offered.join(", ")))
}

async fn of_manifest(
    session: &Session,
    what: &str,
    manifest: &ImageManifest,
    top: String,
) -> Result<Remote, RegistryError> {
    let id = manifest.config().digest().to_string();
    if digest::hex(&id).is_none() {
        return Err(malformed(
            what,
            format!("has a configuration with digest {id:?}, not sha256"),
        ));
    }
    let part = format!("the configuration of {what}");
    let wish = Wish {
        what: &part,
        method: Method::GET,
        path: format!("blobs/{id}"),
        accept: "*/*",
        limit: manifest.config().size().min(LIMIT),
    };
    let bytes = session.ask(&wish).await?.bytes;
    verify(&part, Some(&id), &digest::of(&bytes))?;
    let config: ImageConfiguration = parse(
        what,
        &bytes,
        "is no container image: its configuration is another",
    )?;
    let offered = config.architecture().to_string();
    if offered != architecture() {
        return Err(no_platform(what, &format!("{}/{offered}", config.os())));
    }
    Ok(Remote {
        layers: layers(what, manifest, config.rootfs().diff_ids())?,
        config_bytes: bytes.len() as u64,
        manifest: top,
        id,
        config,
    })
}

fn layers(
    what: &str,
    manifest: &ImageManifest,
    diff_ids: &[String],
) -> Result<Vec<RemoteLayer>, RegistryError> {
    let listed = manifest.layers();
    if listed.len() != diff_ids.len() || listed.len() > LAYERS {
        let problem = format!(
            "has {} layers, its configuration {}; at most {LAYERS} are possible",
            listed.len(),
            diff_ids.len()
        );
        return Err(malformed(what, problem));
    }
    let mut chain: Option<String> = None;
    let mut layers = Vec::new();
    for (listed, diff_id) in listed.iter().zip(diff_ids) {
        let (blob, kind) = (listed.digest().to_string(), listed.media_type().to_string());
        if let Some(wrong) = [&blob, diff_id].into_iter().find(|d| digest::hex(d).is_none()) {
            return Err(malformed(
                what,
                format!("has a layer with digest {wrong:?}, not sha256"),
            ));
        }
        let known = kind.starts_with("application/vnd.oci.image.layer.")
            || kind.starts_with("application/vnd.docker.image.rootfs.");
        if !known || kind.contains("encrypted") {
            return Err(malformed(
                what,
                format!("has a layer of the kind {kind:?}, which is no file system"),
            ));
        }
        let chain_id = digest::chain(chain.as_deref(), diff_id);
        chain = Some(chain_id.clone());
        layers.push(RemoteLayer {
            digest: blob,
            size: listed.size(),
            diff_id: diff_id.clone(),
            chain_id,
        });
    }
    Ok(layers)
}

fn is_index(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        manifests: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Probe>(bytes).is_ok_and(|p| p.manifests.is_some())
}

fn parse<T: serde::de::DeserializeOwned>(
    what: &str,
    bytes: &[u8],
    problem: &str,
) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|error| malformed(what, format!("{problem}: {error}")))
}

fn malformed(what: &str, problem: String) -> RegistryError {
    RegistryError::Malformed {
        what: what.to_owned(),
        problem,
    }
}

fn no_platform(what: &str, offered: &str) -> RegistryError {
    let offered = if offered.is_empty() { "nothing" } else { offered };
    RegistryError::NoPlatform {
        what: what.to_owned(),
        wanted: architecture().to_owned(),
        offered: offered.to_owned(),
    }
}
