//! Why a volume cannot be made.

use std::io;
use std::path::PathBuf;

use agent_core::env::EnvError;

/// Why a volume cannot be made; the pod waits with an event `FailedMount`.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A ConfigMap that is not optional is not there.
    #[error("configmap {0:?} not found")]
    ConfigMapMissing(String),
    /// A Secret that is not optional is not there.
    #[error("secret {0:?} not found")]
    SecretMissing(String),
    /// A token that nobody has asked for yet.
    #[error("volume {0:?} wants a token of the pod's service account, and there is none yet")]
    TokenMissing(String),
    /// A key that is not optional is not in its object.
    #[error("references non-existent {kind} key: {key}")]
    KeyMissing {
        /// `config` or `secret`, as Kubernetes words it.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// A file's path leaves the volume or is no path.
    #[error("path {path:?} in volume {volume}: must be relative and must not contain '..'")]
    Path {
        /// The volume's name.
        volume: String,
        /// The path as given.
        path: String,
    },
    /// A field or resource of the downward API cannot be had.
    #[error("downward API file {path:?}")]
    Field {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: EnvError,
    },
    /// A host path is not what its type says.
    #[error("hostPath type check failed: {} is not a {expected}", path.display())]
    HostPathType {
        /// The path on the node.
        path: PathBuf,
        /// What it must be, in words.
        expected: &'static str,
    },
    /// A kind of volume that this node does not know.
    #[error(
        "volume {0:?} is of a kind this node does not support; it knows configMap, secret, downwardAPI, \
         projected, emptyDir and hostPath"
    )]
    Unsupported(String),
    /// A folder could not be made.
    #[error("create {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The volume's files could not be written.
    #[error("write the files of volume {volume} in {}", path.display())]
    Write {
        /// The volume's name.
        volume: String,
        /// Where it lies.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
