//! What goes wrong between a node and a registry.

use std::path::PathBuf;
use std::time::Duration;

use super::keyring::KeyringError;
use crate::error::ImageError;

/// Why one registry or mirror did not give an image.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection can be prepared; on a machine without certificate authorities, none by TLS can.
    #[error(
        "prepare TLS; a machine needs certificate authorities (Debian: package ca-certificates), or the \
         registry a ca_file in registries.toml"
    )]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The same, for the client of layers.
    #[error("prepare the download of layers")]
    BlobClient {
        /// Why.
        #[source]
        source: Box<oci_client::errors::OciDistributionError>,
    },
    /// The authorities of `registries.toml` cannot be used.
    #[error("read the certificate authorities {path}: {problem}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The credentials file of `registries.toml` cannot be read.
    #[error("read the credentials file {path}")]
    CredentialsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is of no form that is known.
    #[error("understand the credentials file {path}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyringError,
    },
    /// No answer.
    #[error("ask for {what}")]
    Unreachable {
        /// What was asked for, and of which host: after a redirect it is not the registry.
        what: String,
        /// Why; without its URL, which after a redirect may be one that lets in whoever has it.
        #[source]
        source: reqwest::Error,
    },
    /// The answer came too slowly.
    #[error("ask for {what}: the answer stalled (nothing new within {} s)", within.as_secs())]
    Stalled {
        /// What was asked for.
        what: String,
        /// The deadline that passed.
        within: Duration,
    },
    /// The registry does not let us in.
    #[error("{}", denied(what, user.as_deref(), said))]
    Denied {
        /// What was asked for.
        what: String,
        /// As whom, where credentials were shown.
        user: Option<String>,
        /// The registry's words.
        said: String,
    },
    /// The registry has no such thing.
    #[error("{what}: not found")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// Any other answer that is none.
    #[error("ask for {what}: the registry answered {status}{said}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Its status.
        status: u16,
        /// The registry's words, a colon before them.
        said: String,
        /// When it wants to be asked again.
        again: Option<Duration>,
    },
    /// The token service is asked over plain HTTP though the registry is not.
    #[error("the registry sends for a token to {realm:?}, which is no https URL; nothing is shown there")]
    Realm {
        /// The address.
        realm: String,
    },
    /// More came than was announced or is allowed.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// What was read.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// Less came than was announced.
    #[error("{what} ended after {got} of {size} bytes")]
    Truncated {
        /// What was read.
        what: String,
        /// What came.
        got: u64,
        /// What was announced.
        size: u64,
    },
    /// A layer's stream broke.
    #[error("read {what}")]
    Broken {
        /// What was read.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are not those that were asked for.
    #[error("{what} has digest {actual}, but was asked for as {expected}")]
    WrongDigest {
        /// What was read.
        what: String,
        /// The digest that was asked for.
        expected: String,
        /// The one of the bytes.
        actual: String,
    },
    /// What came is no image.
    #[error("{what} {problem}")]
    Malformed {
        /// What was read.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no image for this machine.
    #[error("{what} has no image for linux/{wanted}, only for {offered}")]
    NoPlatform {
        /// The index.
        what: String,
        /// This machine.
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// The node's own store failed.
    #[error(transparent)]
    Store(#[from] ImageError),
}

/// What may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The same again, after this time where the registry said one.
    Again(Option<Duration>),
    /// Other credentials.
    OtherCredentials,
    /// Another mirror, or the registry itself.
    Elsewhere,
    /// Nothing: the failure is this node's.
    Nothing,
}

impl RegistryError {
    /// No answer to the request for `what`.
    pub(crate) fn unreachable(what: &str, source: reqwest::Error) -> Self {
        let (what, source) = without_url(what, source);
        Self::Unreachable { what, source }
    }

    /// A stream that broke, maybe by an error of the client within.
    pub(crate) fn broken(what: &str, source: std::io::Error) -> Self {
        match source.downcast::<reqwest::Error>() {
            Ok(source) => {
                let (what, source) = without_url(what, source);
                let source = std::io::Error::other(source);
                Self::Broken { what, source }
            }
            Err(source) => Self::Broken {
                what: what.to_owned(),
                source,
            },
        }
    }

    /// Whether there was no connection at all.
    pub(crate) fn is_nobody_there(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. } if source.is_connect())
    }

    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { source, .. } if source.is_redirect() || source.is_builder() => {
                Remedy::Elsewhere
            }
            Self::Unreachable { .. }
            | Self::Stalled { .. }
            | Self::Truncated { .. }
            | Self::Broken { .. } => Remedy::Again(None),
            Self::Refused {
                status: 408 | 425 | 429 | 500..=599,
                again,
                ..
            } => Remedy::Again(*again),
            Self::Denied { .. } => Remedy::OtherCredentials,
            Self::Store(
                ImageError::Io { .. } | ImageError::DiskFull { .. } | ImageError::OnOverlay { .. },
            ) => Remedy::Nothing,
            Self::Client { .. }
            | Self::BlobClient { .. }
            | Self::CaFile { .. }
            | Self::CredentialsFile { .. }
            | Self::Credentials { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Realm { .. }
            | Self::TooLong { .. }
            | Self::WrongDigest { .. }
            | Self::Malformed { .. }
            | Self::NoPlatform { .. }
            | Self::Store(_) => Remedy::Elsewhere,
        }
    }
}

/// The URL of an error goes into events; its query may be a signature that opens the storage to every reader.
fn without_url(what: &str, source: reqwest::Error) -> (String, reqwest::Error) {
    let host = source.url().and_then(reqwest::Url::host_str);
    let what = host.map_or_else(|| what.to_owned(), |host| format!("{what} at {host}"));
    (what, source.without_url())
}

fn denied(what: &str, user: Option<&str>, said: &str) -> String {
    let shown = match user {
        Some(user) => format!("the registry refuses the credentials of user {user:?}"),
        None => "the repository does not exist or needs credentials (a Secret of type \
                 kubernetes.io/dockerconfigjson in imagePullSecrets)"
            .to_owned(),
    };
    format!("pull access denied for {what}: {shown}{said}")
}
