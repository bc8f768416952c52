//! A pod's volumes: which objects they need, and putting them in place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use agent_core::env::Sources;
use agent_core::quantity;
use agent_runtime::{NodePaths, mounts};
use agent_volumes::{Volumes, fs_group};
use anyhow::{Context as _, anyhow};
use k8s_openapi::api::core::v1::{EnvVarSource, Pod, Volume as VolumeSpec};

use crate::objects::Reference;

/// A volume that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Its root.
    pub(crate) source: PathBuf,
    /// Whether containers may only read it: what the agent writes, nobody else does.
    pub(crate) read_only: bool,
}

/// Why a volume is not in place.
#[derive(Debug)]
pub(crate) struct Unmounted {
    /// Which.
    pub(crate) volume: String,
    /// Why not.
    pub(crate) error: anyhow::Error,
}

/// The ConfigMaps and Secrets that `pod` refers to anywhere.
pub(crate) fn references(pod: &Pod) -> BTreeSet<Reference> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let mut found = Found {
        namespace,
        references: BTreeSet::new(),
    };
    let Some(spec) = &pod.spec else {
        return found.references;
    };
    for (_, container) in agent_core::every_container(spec) {
        for variable in container.env.iter().flatten() {
            found.variable(variable.value_from.as_ref());
        }
        for source in container.env_from.iter().flatten() {
            found.config_map(source.config_map_ref.as_ref().map(|r| r.name.as_str()));
            found.secret(source.secret_ref.as_ref().map(|r| r.name.as_str()));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        found.volume(volume);
    }
    found.references
}

struct Found {
    namespace: String,
    references: BTreeSet<Reference>,
}

impl Found {
    fn config_map(&mut self, name: Option<&str>) {
        let namespace = self.namespace.clone();
        self.references.extend(name.map(|name| Reference::ConfigMap {
            namespace,
            name: name.to_owned(),
        }));
    }

    fn secret(&mut self, name: Option<&str>) {
        let namespace = self.namespace.clone();
        self.references.extend(name.map(|name| Reference::Secret {
            namespace,
            name: name.to_owned(),
        }));
    }

    fn variable(&mut self, source: Option<&EnvVarSource>) {
        let Some(source) = source else { return };
        self.config_map(source.config_map_key_ref.as_ref().map(|r| r.name.as_str()));
        self.secret(source.secret_key_ref.as_ref().map(|r| r.name.as_str()));
    }

    fn volume(&mut self, volume: &VolumeSpec) {
        self.config_map(volume.config_map.as_ref().map(|s| s.name.as_str()));
        self.secret(volume.secret.as_ref().and_then(|s| s.secret_name.as_deref()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            self.config_map(source.config_map.as_ref().map(|s| s.name.as_str()));
            self.secret(source.secret.as_ref().map(|s| s.name.as_str()));
        }
    }
}

/// Puts every volume of the pod in place, or brings what the agent writes into them up to date.
/// `unknown` names the objects that the API has not answered about: nothing is decided without them.
pub(crate) async fn set_up(
    paths: &NodePaths,
    sources: &Sources<'_>,
    unknown: &[Reference],
) -> Result<BTreeMap<String, Volume>, Unmounted> {
    let mut done = BTreeMap::new();
    let spec = sources.pod.spec.as_ref();
    for volume in spec.and_then(|spec| spec.volumes.as_ref()).into_iter().flatten() {
        let one = set_up_one(paths, volume, sources, unknown).await;
        let one = one.map_err(|error| Unmounted {
            volume: volume.name.clone(),
            error,
        })?;
        done.insert(volume.name.clone(), one);
    }
    Ok(done)
}

async fn set_up_one(
    paths: &NodePaths,
    volume: &VolumeSpec,
    sources: &Sources<'_>,
    unknown: &[Reference],
) -> anyhow::Result<Volume> {
    let projected = volume.host_path.is_none() && volume.empty_dir.is_none();
    if projected && let Some(reference) = unknown.first() {
        return Err(anyhow!("the API server has not answered about {reference:?}"));
    }
    let in_memory = volume
        .empty_dir
        .as_ref()
        .filter(|empty| empty.medium.as_deref() == Some("Memory"));
    if let Some(empty) = in_memory {
        let uid = sources.pod.metadata.uid.as_deref().unwrap_or_default();
        let source = paths.memory_volume(uid, &volume.name);
        make_dir(&source)?;
        let limit = empty.size_limit.as_ref().and_then(quantity::units);
        mounts::tmpfs(paths, &source, limit, fs_group(sources.pod)).await?;
        return Ok(Volume {
            source,
            read_only: false,
        });
    }
    let volumes = Volumes::new(&paths.run_dir, &paths.state_dir);
    let source = volumes.prepare(volume, sources)?;
    Ok(Volume {
        source,
        read_only: projected,
    })
}

fn make_dir(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o711).create(path);
    made.and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(0o777)))
        .with_context(|| format!("make the volume {}", path.display()))
}
