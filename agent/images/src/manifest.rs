//! Which images an archive holds for this machine: index → manifest → configuration and layers.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;

use crate::archive::Archive;
use crate::digest;
use crate::error::ImageError;

/// Largest index, manifest or configuration that is read (as registries limit them).
const MAX_DOCUMENT: u64 = 4 << 20;
const CONTAINERD_NAME: &str = "io.containerd.image.name";
const OCI_NAME: &str = "org.opencontainers.image.ref.name";

/// An image in an archive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// Names in the archive's spelling; none where it names none.
    pub(crate) names: Vec<String>,
    /// Digest by which registries know it; absent in `docker save`'s old form.
    pub(crate) manifest: Option<String>,
    /// The image ID.
    pub(crate) id: String,
    pub(crate) config: ImageConfiguration,
    pub(crate) config_bytes: u64,
    /// Lowest first.
    pub(crate) layers: Vec<Layer>,
}

/// A layer in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Part of the archive that holds it.
    pub(crate) part: String,
    /// Digest of that part, where the archive lists one.
    pub(crate) digest: Option<String>,
    /// Digest of the uncompressed layer, from the configuration.
    pub(crate) diff_id: String,
}

/// OCI's word for the architecture of this machine.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// Reads what `archive` (at `path`, for messages) offers for `wanted`.
pub(crate) fn images(archive: &Archive, path: &Path, wanted: &'static str) -> Result<Vec<Found>, ImageError> {
    let reader = Reader {
        archive,
        path,
        wanted,
    };
    if let Some(bytes) = reader.document("index.json")? {
        return reader.of_index(&reader.parse("index.json", &bytes)?);
    }
    if let Some(bytes) = reader.document("manifest.json")? {
        return reader.of_docker(reader.parse("manifest.json", &bytes)?);
    }
    Err(reader.malformed("it has neither index.json (OCI) nor manifest.json (docker save)"))
}

/// An entry of `docker save`'s `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

struct Reader<'a> {
    archive: &'a Archive,
    path: &'a Path,
    wanted: &'static str,
}

impl Reader<'_> {
    fn of_index(&self, index: &ImageIndex) -> Result<Vec<Found>, ImageError> {
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        let mut offered = Vec::new();
        for listed in index.manifests() {
            let Some(mut image) = self.of_descriptor(listed, &mut offered)? else {
                continue;
            };
            image.manifest = Some(listed.digest().to_string());
            let same = found.entry(listed.digest().to_string()).or_insert(image);
            if let Some(name) = name_of(listed) {
                same.names.push(name);
            }
        }
        if found.is_empty() {
            let offered = if offered.is_empty() {
                "nothing".to_owned()
            } else {
                offered.join(", ")
            };
            return Err(ImageError::NoPlatform {
                archive: self.path.to_owned(),
                wanted: self.wanted,
                offered,
            });
        }
        Ok(found.into_values().collect())
    }

    fn of_descriptor(
        &self,
        listed: &Descriptor,
        offered: &mut Vec<String>,
    ) -> Result<Option<Found>, ImageError> {
        if !self.suits(listed, offered) {
            return Ok(None);
        }
        let bytes = self.blob(listed)?;
        if *listed.media_type() != MediaType::ImageIndex && !is_index(&bytes) {
            return self.of_manifest(&self.parse(listed.digest().as_ref(), &bytes)?, offered);
        }
        let nested: ImageIndex = self.parse(listed.digest().as_ref(), &bytes)?;
        for manifest in nested.manifests() {
            if self.suits(manifest, offered) {
                let bytes = self.blob(manifest)?;
                return self.of_manifest(&self.parse(manifest.digest().as_ref(), &bytes)?, offered);
            }
        }
        Ok(None)
    }

    /// Whether a descriptor is for this machine as far as it tells.
    fn suits(&self, listed: &Descriptor, offered: &mut Vec<String>) -> bool {
        let Some(platform) = listed.platform() else {
            return true;
        };
        let (os, architecture) = (platform.os().to_string(), platform.architecture().to_string());
        let suits = os == "linux" && architecture == self.wanted;
        if !suits && os != "unknown" {
            offered.push(format!("{os}/{architecture}"));
        }
        suits
    }

    fn of_manifest(
        &self,
        manifest: &ImageManifest,
        offered: &mut Vec<String>,
    ) -> Result<Option<Found>, ImageError> {
        let config_bytes = self.blob(manifest.config())?;
        let layer = |d: &Descriptor| Ok((part_of(&self.checked(d)?), Some(d.digest().to_string())));
        let layers = manifest
            .layers()
            .iter()
            .map(layer)
            .collect::<Result<_, ImageError>>()?;
        self.assemble(&config_bytes, layers, offered)
    }

    fn of_docker(&self, images: Vec<DockerImage>) -> Result<Vec<Found>, ImageError> {
        let (mut found, mut offered) = (Vec::new(), Vec::new());
        for image in images {
            let config = self.required(&image.config)?;
            // Newer forms name their parts by digest.
            let digest = |part: &str| {
                part.strip_prefix("blobs/sha256/")
                    .map(|hex| format!("sha256:{hex}"))
                    .filter(|d| digest::hex(d).is_some())
            };
            let layers = image
                .layers
                .iter()
                .map(|part| (part.clone(), digest(part)))
                .collect();
            if let Some(mut assembled) = self.assemble(&config, layers, &mut offered)? {
                assembled.names = image.repo_tags.unwrap_or_default();
                found.push(assembled);
            }
        }
        if found.is_empty() {
            let offered = offered.join(", ");
            return Err(ImageError::NoPlatform {
                archive: self.path.to_owned(),
                wanted: self.wanted,
                offered,
            });
        }
        Ok(found)
    }

    fn assemble(
        &self,
        config_bytes: &[u8],
        layers: Vec<(String, Option<String>)>,
        offered: &mut Vec<String>,
    ) -> Result<Option<Found>, ImageError> {
        let id = digest::of(config_bytes);
        let config: ImageConfiguration = self.parse(&format!("configuration {id}"), config_bytes)?;
        let architecture = config.architecture().to_string();
        if architecture != self.wanted {
            offered.push(format!("{}/{architecture}", config.os()));
            return Ok(None);
        }
        let diff_ids = config.rootfs().diff_ids().clone();
        if diff_ids.len() != layers.len() {
            let problem = format!(
                "image {id} has {} layers, but its configuration lists {}",
                layers.len(),
                diff_ids.len()
            );
            return Err(self.malformed(&problem));
        }
        if let Some(wrong) = diff_ids.iter().find(|d| digest::hex(d).is_none()) {
            return Err(self.malformed(&format!("image {id} lists {wrong:?}, which is no sha256 digest")));
        }
        let layer = |((part, digest), diff_id)| Layer {
            part,
            digest,
            diff_id,
        };
        let layers = layers.into_iter().zip(diff_ids).map(layer).collect();
        let config_bytes = config_bytes.len() as u64;
        Ok(Some(Found {
            names: Vec::new(),
            manifest: None,
            id,
            config,
            config_bytes,
            layers,
        }))
    }

    /// The bytes a descriptor stands for, their digest verified.
    fn blob(&self, listed: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let expected = self.checked(listed)?;
        let bytes = self.required(&part_of(&expected))?;
        let actual = digest::of(&bytes);
        if actual == expected {
            return Ok(bytes);
        }
        let what = part_of(&expected);
        Err(ImageError::DigestMismatch {
            archive: self.path.to_owned(),
            what,
            expected,
            actual,
        })
    }

    fn checked(&self, listed: &Descriptor) -> Result<String, ImageError> {
        let digest = listed.digest().to_string();
        let known = digest::hex(&digest).is_some();
        if known {
            Ok(digest)
        } else {
            Err(self.malformed(&format!(
                "digest {digest:?} is not sha256, the only one supported"
            )))
        }
    }

    fn required(&self, part: &str) -> Result<Vec<u8>, ImageError> {
        self.document(part)?
            .ok_or_else(|| self.malformed(&format!("{part} is missing")))
    }

    fn document(&self, part: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let failed = |e: std::io::Error| self.malformed(&format!("{part} cannot be read: {e}"));
        self.archive.small(part, MAX_DOCUMENT).map_err(failed)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, what: &str, bytes: &[u8]) -> Result<T, ImageError> {
        serde_json::from_slice(bytes)
            .map_err(|e| self.malformed(&format!("{what} is not as OCI has it: {e}")))
    }

    fn malformed(&self, problem: &str) -> ImageError {
        ImageError::Malformed {
            archive: self.path.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

fn part_of(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// Docker's own media type for an index is no [`MediaType::ImageIndex`], so the document decides.
fn is_index(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        manifests: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Probe>(bytes).is_ok_and(|p| p.manifests.is_some())
}

fn name_of(listed: &Descriptor) -> Option<String> {
    let annotations = listed.annotations().as_ref()?;
    annotations
        .get(CONTAINERD_NAME)
        .or_else(|| annotations.get(OCI_NAME))
        .cloned()
}
