//! The seam to the certificate authority.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// TLS client authentication.
    Client,
    /// TLS server authentication.
    Server,
}

/// What a certificate request asks for, read once from its PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// CN of the subject.
    pub common_name: String,
    /// O of the subject, in order.
    pub organizations: Vec<String>,
    /// DNS names asked for.
    pub dns_names: Vec<String>,
    /// IP addresses asked for.
    pub ip_addresses: Vec<IpAddr>,
    /// Names of other types (e-mail, URI) were asked for.
    pub other_names: bool,
}

/// Why a request could not be read or signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The PEM is not a certificate request, or its signature is wrong.
    #[error("read certificate request")]
    Malformed(#[source] Box<dyn Error + Send + Sync>),
    /// The authority refused.
    #[error("sign certificate request")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
}

/// The calls the controllers make on the certificate authority.
pub trait Signer: Send + Sync {
    /// The authority's own certificate, PEM.
    fn certificate_pem(&self) -> String;

    /// Reads and checks a request.
    ///
    /// # Errors
    ///
    /// When it is not a well-formed, self-signed request.
    fn subject(&self, request_pem: &str) -> Result<Subject, SignError>;

    /// Signs a request for `usage`, valid from now for `validity`; returns PEM.
    ///
    /// # Errors
    ///
    /// When the request is malformed or the authority refuses.
    fn sign(&self, request_pem: &str, usage: Usage, validity: Duration) -> Result<String, SignError>;
}
