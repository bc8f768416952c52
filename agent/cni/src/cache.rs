//! Results of ADD, kept so that DEL and CHECK can be asked with what ADD was asked (§3 "Runtime").

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chain;
use crate::error::CniError;

/// What is remembered of an attachment; its keys are those of libcni's cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cached {
    pub(crate) kind: String,
    pub(crate) container_id: String,
    pub(crate) if_name: String,
    pub(crate) network_name: String,
    pub(crate) netns: PathBuf,
    pub(crate) cni_args: String,
    pub(crate) capability_args: Map<String, Value>,
    /// `cniVersion` and plugins as they were: the configuration may change before DEL.
    pub(crate) cni_version: String,
    pub(crate) plugins: Vec<Map<String, Value>>,
    /// The last plugin's answer; absent until ADD ended.
    #[serde(default)]
    pub(crate) result: Option<Value>,
    /// Whether its DEL has begun: from then on nobody puts anything of it back.
    #[serde(default)]
    pub(crate) ending: bool,
}

impl Cached {
    /// The plugins that have to do with it, in the order of ADD.
    pub(crate) fn asked(&self) -> Vec<&Map<String, Value>> {
        chain::asked(&self.plugins, &self.capability_args)
    }
}

/// The folder of cached results.
#[derive(Debug, Clone)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    pub(crate) fn at(dir: &Path) -> Self {
        Self(dir.join("results"))
    }

    fn path(&self, network: &str, container_id: &str, ifname: &str) -> PathBuf {
        self.0.join(format!("{network}-{container_id}-{ifname}"))
    }

    /// Writes whole or not at all.
    pub(crate) fn write(&self, cached: &Cached) -> Result<(), CniError> {
        let path = self.path(&cached.network_name, &cached.container_id, &cached.if_name);
        let written = fs::create_dir_all(&self.0).and_then(|()| {
            let fresh = path.with_extension("new");
            let written = fs::write(&fresh, serde_json::to_vec(cached)?);
            written
                .and_then(|()| fs::rename(&fresh, &path))
                .inspect_err(|_| drop(fs::remove_file(&fresh)))
        });
        written.map_err(|source| CniError::Io {
            attempted: format!("write network result {}", path.display()),
            source,
        })
    }

    pub(crate) fn read(&self, network: &str, container_id: &str, ifname: &str) -> Option<Cached> {
        let bytes = fs::read(self.path(network, container_id, ifname)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(crate) fn remove(&self, network: &str, container_id: &str, ifname: &str) -> Result<(), CniError> {
        let path = self.path(network, container_id, ifname);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CniError::Io {
                attempted: format!("remove network result {}", path.display()),
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Every remembered attachment, the newest first.
    pub(crate) fn all(&self) -> Vec<Cached> {
        let listed = fs::read_dir(&self.0).into_iter().flatten().filter_map(Result::ok);
        let read = |entry: fs::DirEntry| {
            let written = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            let cached = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
            Some((written, cached))
        };
        let mut found: Vec<(_, Cached)> = listed.filter_map(read).collect();
        found.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
        found.into_iter().map(|(_, cached)| cached).collect()
    }
}
