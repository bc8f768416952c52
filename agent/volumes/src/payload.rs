//! What a projected volume holds, decided without any I/O.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use agent_core::env::{Sources, TokenWish, field_value, resource_value};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, Container, DownwardAPIVolumeFile, KeyToPath, SecretProjection,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use crate::VolumeError;

const DEFAULT_MODE: i32 = 0o644;

/// The files of a projected volume, by their path within it.
pub type Payload = BTreeMap<String, PayloadFile>;

/// One file of a projected volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadFile {
    /// Its contents.
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// The files of `volume`, from the objects in `sources`.
///
/// # Errors
///
/// When an object or a key that is not optional is missing, a path leaves the volume, or the volume is
/// of a kind that holds no such files.
pub fn payload(volume: &Volume, sources: &Sources<'_>) -> Result<Payload, VolumeError> {
    let mut builder = Builder {
        volume: &volume.name,
        sources,
        mode: DEFAULT_MODE,
        files: Payload::new(),
    };
    if let Some(map) = &volume.config_map {
        builder.mode = map.default_mode.unwrap_or(DEFAULT_MODE);
        builder.config_map(&map.name, map.items.as_deref(), map.optional == Some(true))?;
    } else if let Some(secret) = &volume.secret {
        builder.mode = secret.default_mode.unwrap_or(DEFAULT_MODE);
        let name = secret.secret_name.as_deref().unwrap_or_default();
        builder.secret(name, secret.items.as_deref(), secret.optional == Some(true))?;
    } else if let Some(downward) = &volume.downward_api {
        builder.mode = downward.default_mode.unwrap_or(DEFAULT_MODE);
        builder.downward(downward.items.as_deref())?;
    } else if let Some(projected) = &volume.projected {
        builder.mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        projected
            .sources
            .iter()
            .flatten()
            .try_for_each(|source| builder.projection(source))?;
    } else {
        return Err(VolumeError::Unsupported(volume.name.clone()));
    }
    Ok(builder.files)
}

struct Builder<'a> {
    volume: &'a str,
    sources: &'a Sources<'a>,
    mode: i32,
    files: Payload,
}

/// An object's data, by key.
type Data = BTreeMap<String, Vec<u8>>;

impl Builder<'_> {
    fn projection(&mut self, source: &VolumeProjection) -> Result<(), VolumeError> {
        if let Some(ConfigMapProjection {
            name,
            items,
            optional,
        }) = &source.config_map
        {
            self.config_map(name, items.as_deref(), *optional == Some(true))?;
        }
        if let Some(SecretProjection {
            name,
            items,
            optional,
        }) = &source.secret
        {
            self.secret(name, items.as_deref(), *optional == Some(true))?;
        }
        if let Some(downward) = &source.downward_api {
            self.downward(downward.items.as_deref())?;
        }
        if let Some(token) = &source.service_account_token {
            self.token(token)?;
        }
        if source.cluster_trust_bundle.is_some() {
            return Err(VolumeError::Unsupported(self.volume.to_owned()));
        }
        Ok(())
    }

    /// A token of the pod's account; whoever shares it with a group shares it with nobody else.
    fn token(&mut self, source: &ServiceAccountTokenProjection) -> Result<(), VolumeError> {
        let known = self.sources.tokens.get(&TokenWish::of(source));
        let text = known.ok_or_else(|| VolumeError::TokenMissing(self.volume.to_owned()))?;
        let security = self
            .sources
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.security_context.as_ref());
        let group = security.and_then(|security| security.fs_group);
        self.put(&source.path, text.clone().into_bytes(), group.map(|_| 0o600))
    }

    fn config_map(
        &mut self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), VolumeError> {
        let Some(map) = self.sources.config_maps.get(name) else {
            return if optional {
                Ok(())
            } else {
                Err(VolumeError::ConfigMapMissing(name.to_owned()))
            };
        };
        let text = map
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        let data: Data = text.chain(bytes(map.binary_data.as_ref())).collect();
        self.keys("config", &data, items, optional)
    }

    fn secret(&mut self, name: &str, items: Option<&[KeyToPath]>, optional: bool) -> Result<(), VolumeError> {
        let Some(secret) = self.sources.secrets.get(name) else {
            return if optional {
                Ok(())
            } else {
                Err(VolumeError::SecretMissing(name.to_owned()))
            };
        };
        self.keys("secret", &bytes(secret.data.as_ref()).collect(), items, optional)
    }

    /// All keys by their own names, or the listed ones by their paths.
    fn keys(
        &mut self,
        kind: &'static str,
        data: &Data,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), VolumeError> {
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            return data
                .iter()
                .try_for_each(|(key, value)| self.put(key, value.clone(), None));
        };
        for item in items {
            match data.get(&item.key) {
                Some(value) => self.put(&item.path, value.clone(), item.mode)?,
                None if optional => {}
                None => {
                    return Err(VolumeError::KeyMissing {
                        kind,
                        key: item.key.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn downward(&mut self, items: Option<&[DownwardAPIVolumeFile]>) -> Result<(), VolumeError> {
        items.unwrap_or_default().iter().try_for_each(|item| {
            let text = self.fact(item).map_err(|source| VolumeError::Field {
                path: item.path.clone(),
                source,
            })?;
            self.put(&item.path, text.into_bytes(), item.mode)
        })
    }

    fn fact(&self, item: &DownwardAPIVolumeFile) -> Result<String, agent_core::env::EnvError> {
        if let Some(field) = &item.field_ref {
            return field_value(&field.field_path, self.sources);
        }
        match &item.resource_field_ref {
            // The selector of a volume names its container itself.
            Some(selector) => resource_value(selector, &Container::default(), self.sources),
            None => Ok(String::new()),
        }
    }

    fn put(&mut self, path: &str, bytes: Vec<u8>, mode: Option<i32>) -> Result<(), VolumeError> {
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !inside || path.starts_with("..") {
            return Err(VolumeError::Path {
                volume: self.volume.to_owned(),
                path: path.to_owned(),
            });
        }
        let mode = u32::try_from(mode.unwrap_or(self.mode)).unwrap_or_default() & 0o777;
        self.files.insert(path.to_owned(), PayloadFile { bytes, mode });
        Ok(())
    }
}

fn bytes(data: Option<&BTreeMap<String, ByteString>>) -> impl Iterator<Item = (String, Vec<u8>)> {
    data.into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.0.clone()))
}
