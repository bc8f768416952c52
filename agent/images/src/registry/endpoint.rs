//! Where an image is asked for: a registry or a mirror of it, and how it is spoken to.

use std::fmt;
use std::path::{Path, PathBuf};

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};

use super::error::RegistryError;
use super::patience::Patience;

/// As what pulls introduce themselves.
const USER_AGENT: &str = concat!("floe/", env!("CARGO_PKG_VERSION"));
/// Redirects that are followed, one after the other.
const REDIRECTS: usize = 5;

/// How far a connection is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Security {
    PlainHttp,
    /// TLS, the certificate unchecked.
    Unverified,
    /// TLS by the machine's authorities, and those of the file.
    Verified {
        ca_file: Option<PathBuf>,
    },
}

/// One place to ask for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host, with its port where it has one.
    pub(crate) host: String,
    /// The repository there.
    pub(crate) repository: String,
    pub(crate) security: Security,
    /// The registry that a mirror answers for.
    pub(crate) namespace: Option<String>,
    pub(crate) credentials_file: Option<PathBuf>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.namespace.is_some() {
            "mirror"
        } else {
            "registry"
        };
        write!(f, "{kind} {}", self.host)
    }
}

impl Endpoint {
    /// The URL of `path` in the repository.
    pub(crate) fn url(&self, path: &str) -> String {
        let query = self
            .namespace
            .as_ref()
            .map_or_else(String::new, |name| format!("?ns={name}"));
        format!(
            "{}://{}/v2/{}/{path}{query}",
            self.scheme(),
            self.host,
            self.repository
        )
    }

    pub(crate) const fn scheme(&self) -> &'static str {
        match self.security {
            Security::PlainHttp => "http",
            Security::Unverified | Security::Verified { .. } => "https",
        }
    }

    /// The repository in `oci-client`'s words.
    pub(crate) fn blob_reference(&self, digest: &str) -> oci_client::Reference {
        let registry = self.namespace.clone().unwrap_or_else(|| self.host.clone());
        let mut reference =
            oci_client::Reference::with_digest(registry, self.repository.clone(), digest.to_owned());
        if self.namespace.is_some() {
            reference.set_mirror_registry(self.host.clone());
        }
        reference
    }

    /// A client for documents and tokens; proxies are those of the environment.
    pub(crate) fn client(&self, patience: &Patience) -> Result<reqwest::Client, RegistryError> {
        use_ring();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(patience.connect)
            .read_timeout(patience.stall)
            .redirect(redirects());
        match &self.security {
            // Without this, a machine that has no authorities could not even speak plain HTTP.
            Security::PlainHttp | Security::Unverified => {
                builder = builder.tls_danger_accept_invalid_certs(true);
            }
            Security::Verified { ca_file: None } => {}
            Security::Verified { ca_file: Some(file) } => {
                let unusable = |error: reqwest::Error| ca_error(file, error.to_string());
                let parsed = reqwest::Certificate::from_pem_bundle(&pem(file)?).map_err(unusable)?;
                builder = builder.tls_certs_merge(parsed);
            }
        }
        builder.build().map_err(|source| RegistryError::Client { source })
    }

    /// A client for layers.
    pub(crate) fn blob_client(&self, patience: &Patience) -> Result<oci_client::Client, RegistryError> {
        use_ring();
        let protocol = match self.security {
            Security::PlainHttp => ClientProtocol::Http,
            Security::Unverified | Security::Verified { .. } => ClientProtocol::Https,
        };
        let authorities = match &self.security {
            Security::Verified { ca_file: Some(file) } => each_pem(&pem(file)?),
            Security::Verified { ca_file: None } | Security::PlainHttp | Security::Unverified => Vec::new(),
        };
        let config = ClientConfig {
            protocol,
            accept_invalid_certificates: matches!(self.security, Security::PlainHttp | Security::Unverified),
            extra_root_certificates: authorities,
            connect_timeout: Some(patience.connect),
            read_timeout: Some(patience.stall),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        oci_client::Client::try_from(config).map_err(|source| RegistryError::BlobClient {
            source: Box::new(source),
        })
    }
}

/// Both clients take the process' cryptography; where it is set already, it is the same.
fn use_ring() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Authorization never goes to another host (the client sees to that), and never from TLS to plain HTTP.
fn redirects() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let downgrade = attempt
            .previous()
            .last()
            .is_some_and(|url| url.scheme() == "https")
            && attempt.url().scheme() != "https";
        if downgrade {
            attempt.error("the registry redirects from https to http")
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    })
}

fn pem(file: &Path) -> Result<Vec<u8>, RegistryError> {
    let text = std::fs::read(file).map_err(|error| ca_error(file, error.to_string()))?;
    if each_pem(&text).is_empty() {
        return Err(ca_error(file, "it has no PEM certificate".to_owned()));
    }
    Ok(text)
}

fn ca_error(file: &Path, problem: String) -> RegistryError {
    RegistryError::CaFile {
        path: file.to_owned(),
        problem,
    }
}

/// `oci-client` takes certificates one by one.
fn each_pem(text: &[u8]) -> Vec<Certificate> {
    let text = String::from_utf8_lossy(text);
    let blocks = text.split_inclusive("-----END CERTIFICATE-----");
    let blocks = blocks.filter(|block| block.contains("-----BEGIN CERTIFICATE-----"));
    let certificate = |block: &str| Certificate {
        encoding: CertificateEncoding::Pem,
        data: block.as_bytes().to_vec(),
    };
    blocks.map(certificate).collect()
}
