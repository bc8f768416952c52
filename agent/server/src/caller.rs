//! Who calls: the identity in a connection's client certificate, and whether it may.

use http::StatusCode;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::refusal::Refusal;

/// The API server's common name towards nodes, as kubeadm and Kubernetes' own scripts issue it.
pub(crate) const API_SERVER: &str = "kube-apiserver-kubelet-client";

/// The other end of a connection. TLS has already verified a certificate it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Sent no certificate.
    Anonymous,
    /// Sent one of the cluster's authority, with this common name; empty where it has none.
    Named(String),
}

impl Caller {
    /// The caller behind the certificate chain of a TLS connection.
    pub(crate) fn of(chain: Option<&[CertificateDer<'_>]>) -> Self {
        match chain.and_then(<[_]>::first) {
            None => Self::Anonymous,
            Some(leaf) => Self::Named(common_name(leaf).unwrap_or_default()),
        }
    }

    /// Lets the API server pass; 401 for nobody, 403 for anybody else.
    pub(crate) fn admit(&self) -> Result<(), Refusal> {
        match self {
            Self::Named(name) if name == API_SERVER => Ok(()),
            Self::Named(name) => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!("Forbidden: \"{name}\" may not use this node's endpoint; only the API server may"),
            )),
            Self::Anonymous => Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "Unauthorized: a client certificate of the cluster is required",
            )),
        }
    }
}

fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}
