//! The environment of a container.

mod expand;
mod field;
mod resource;
mod services;
mod token;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource, Pod, Secret, Service,
};

pub use expand::expand;
pub use field::field_value;
pub use resource::resource_value;
pub use token::{NO_TOKENS, TokenWish, Tokens};

/// All that a container's environment may refer to.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The pod's addresses.
    pub pod_ips: &'a [IpAddr],
    /// The node's addresses.
    pub host_ips: &'a [IpAddr],
    /// What the node offers to pods: stands in for limits that are not set. By resource name.
    pub allocatable: &'a BTreeMap<String, u64>,
    /// The ConfigMaps of the pod's namespace that are there, by name.
    pub config_maps: &'a BTreeMap<String, ConfigMap>,
    /// The Secrets of the pod's namespace that are there, by name.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// The Services of the pod's namespace, and `kubernetes` of `default`.
    pub services: &'a [Service],
    /// The tokens of the pod's service account that its volumes hold.
    pub tokens: &'a Tokens,
}

/// Why an environment cannot be made; the container waits as `CreateContainerConfigError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A ConfigMap that is not optional is not there.
    #[error("configmap {0:?} not found")]
    ConfigMapMissing(String),
    /// A Secret that is not optional is not there.
    #[error("secret {0:?} not found")]
    SecretMissing(String),
    /// A key that is not optional is not in its object.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    KeyMissing {
        /// The key.
        key: String,
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
    },
    /// A field path that no variable may name.
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    /// A resource that no variable may name.
    #[error("unsupported container resource: {0}")]
    Resource(String),
    /// A value that is no text.
    #[error("key {key} in Secret {name} is not UTF-8 and cannot be an environment variable")]
    NotText {
        /// The key.
        key: String,
        /// The Secret.
        name: String,
    },
}

/// The variables of `container`, in order: of services, of `envFrom`, of `env`; a later one of the same
/// name replaces an earlier one. `$(NAME)` refers to variables before it.
///
/// # Errors
///
/// Names the first reference that leads nowhere and is not optional.
pub fn environment(container: &Container, sources: &Sources<'_>) -> Result<Vec<(String, String)>, EnvError> {
    let mut variables = Variables::default();
    variables.extend(services::variables(sources));
    for source in container.env_from.iter().flatten() {
        variables.extend(from_object(source, sources)?);
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(variable, container, sources, &variables)? {
            variables.set(variable.name.clone(), value);
        }
    }
    Ok(variables.0)
}

/// Variables in order of their first appearance.
#[derive(Debug, Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn set(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    fn extend(&mut self, more: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in more {
            self.set(name, value);
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

fn value_of(
    variable: &EnvVar,
    container: &Container,
    sources: &Sources<'_>,
    known: &Variables,
) -> Result<Option<String>, EnvError> {
    if let Some(source) = &variable.value_from {
        return from_source(source, container, sources);
    }
    let text = variable.value.as_deref().unwrap_or_default();
    Ok(Some(expand(text, |name| known.get(name).map(ToOwned::to_owned))))
}

fn from_source(
    source: &EnvVarSource,
    container: &Container,
    sources: &Sources<'_>,
) -> Result<Option<String>, EnvError> {
    if let Some(field) = &source.field_ref {
        return field_value(&field.field_path, sources).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        return resource_value(resource, container, sources).map(Some);
    }
    if let Some(key) = &source.config_map_key_ref {
        return config_map_key(&key.name, &key.key, key.optional == Some(true), sources);
    }
    match &source.secret_key_ref {
        Some(key) => secret_key(&key.name, &key.key, key.optional == Some(true), sources),
        None => Ok(None),
    }
}

fn config_map_key(
    name: &str,
    key: &str,
    optional: bool,
    sources: &Sources<'_>,
) -> Result<Option<String>, EnvError> {
    let Some(object) = sources.config_maps.get(name) else {
        return if optional {
            Ok(None)
        } else {
            Err(EnvError::ConfigMapMissing(name.to_owned()))
        };
    };
    match object.data.as_ref().and_then(|data| data.get(key)) {
        Some(value) => Ok(Some(value.clone())),
        None if optional => Ok(None),
        None => Err(missing_key("ConfigMap", name, key, sources)),
    }
}

fn secret_key(
    name: &str,
    key: &str,
    optional: bool,
    sources: &Sources<'_>,
) -> Result<Option<String>, EnvError> {
    let Some(object) = sources.secrets.get(name) else {
        return if optional {
            Ok(None)
        } else {
            Err(EnvError::SecretMissing(name.to_owned()))
        };
    };
    match object.data.as_ref().and_then(|data| data.get(key)) {
        Some(value) => text(name, key, &value.0).map(Some),
        None if optional => Ok(None),
        None => Err(missing_key("Secret", name, key, sources)),
    }
}

fn text(name: &str, key: &str, bytes: &[u8]) -> Result<String, EnvError> {
    let not_text = |_| EnvError::NotText {
        key: key.to_owned(),
        name: name.to_owned(),
    };
    String::from_utf8(bytes.to_vec()).map_err(not_text)
}

fn missing_key(kind: &'static str, name: &str, key: &str, sources: &Sources<'_>) -> EnvError {
    let namespace = sources.pod.metadata.namespace.clone().unwrap_or_default();
    EnvError::KeyMissing {
        key: key.to_owned(),
        kind,
        namespace,
        name: name.to_owned(),
    }
}

fn from_object(source: &EnvFromSource, sources: &Sources<'_>) -> Result<Vec<(String, String)>, EnvError> {
    let prefix = source.prefix.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    if let Some(reference) = &source.config_map_ref {
        match sources.config_maps.get(&reference.name) {
            Some(object) => found.extend(object.data.clone().unwrap_or_default()),
            None if reference.optional == Some(true) => {}
            None => return Err(EnvError::ConfigMapMissing(reference.name.clone())),
        }
    }
    if let Some(reference) = &source.secret_ref {
        match sources.secrets.get(&reference.name) {
            Some(object) => {
                for (key, value) in object.data.iter().flatten() {
                    found.push((key.clone(), text(&reference.name, key, &value.0)?));
                }
            }
            None if reference.optional == Some(true) => {}
            None => return Err(EnvError::SecretMissing(reference.name.clone())),
        }
    }
    let named = found
        .into_iter()
        .map(|(key, value)| (format!("{prefix}{key}"), value));
    Ok(named
        .filter(|(name, _)| !name.is_empty() && !name.contains('='))
        .collect())
}

#[cfg(test)]
mod tests;
