use std::fmt;
use std::net::IpAddr;

use rcgen::{CertificateSigningRequestParams, KeyPair};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

use crate::authority::issue_error;
use crate::{PkiError, Request, identity, params};

/// What a certificate request asks for; signed by the key it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsrFacts {
    /// The subject's common name; empty where it has none.
    pub common_name: String,
    /// The subject's organizations.
    pub organizations: Vec<String>,
    /// Alternative names.
    pub dns_names: Vec<String>,
    /// Alternative addresses.
    pub ip_addresses: Vec<IpAddr>,
    /// Whether it also asks for alternative names of other kinds, as e-mail addresses or URIs.
    pub has_other_names: bool,
}

impl CsrFacts {
    /// Reads a request, PEM or DER.
    ///
    /// # Errors
    ///
    /// Refuses one that is damaged or not signed by its own key.
    pub fn parse(csr: &[u8]) -> Result<Self, PkiError> {
        let der = to_der(csr)?;
        let (_, csr) = X509CertificationRequest::from_der(&der).map_err(|_| PkiError::BadRequest)?;
        csr.verify_signature().map_err(|_| PkiError::BadRequest)?;
        let (common_name, organizations) = identity::subject(&csr.certification_request_info.subject);
        let names: Vec<_> = csr
            .requested_extensions()
            .into_iter()
            .flatten()
            .filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .cloned()
            .collect();
        let (dns_names, ip_addresses) = identity::alternative_names(&names);
        let has_other_names = dns_names.len() + ip_addresses.len() < names.len();
        Ok(Self {
            common_name,
            organizations,
            dns_names,
            ip_addresses,
            has_other_names,
        })
    }
}

/// A new key and a request for a certificate for it; what a node makes before it joins.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyAndRequest {
    /// The request, PEM.
    pub csr_pem: String,
    /// The key, PKCS #8. A secret: `Debug` prints `***`.
    pub key_pem: String,
}

impl fmt::Debug for KeyAndRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAndRequest")
            .field("csr_pem", &self.csr_pem)
            .field("key_pem", &"***")
            .finish()
    }
}

impl KeyAndRequest {
    /// Makes both; usages and validity are for the authority to decide and are not written.
    ///
    /// # Errors
    ///
    /// Fails where a name cannot be written into a request.
    pub fn generate(request: &Request) -> Result<Self, PkiError> {
        let name = &request.common_name;
        check_organizations(name, &request.organizations)?;
        let failed = |source| issue_error(name, source);
        let key = KeyPair::generate().map_err(failed)?;
        let params = params::request(request).map_err(failed)?;
        let csr_pem = params
            .serialize_request(&key)
            .and_then(|csr| csr.pem())
            .map_err(failed)?;
        Ok(Self {
            csr_pem,
            key_pem: key.serialize_pem(),
        })
    }
}

/// The encoder keeps one value of each kind in a subject; losing a group silently would be worse than refusing.
pub(crate) fn check_organizations(common_name: &str, organizations: &[String]) -> Result<(), PkiError> {
    if organizations.len() > 1 {
        return Err(PkiError::ManyOrganizations {
            common_name: common_name.to_owned(),
        });
    }
    Ok(())
}

/// Reads a request for signing.
pub(crate) fn parse(csr: &[u8]) -> Result<CertificateSigningRequestParams, PkiError> {
    let facts = CsrFacts::parse(csr)?;
    check_organizations(&facts.common_name, &facts.organizations)?;
    CertificateSigningRequestParams::from_der(&to_der(csr)?).map_err(PkiError::UnsupportedRequest)
}

fn to_der(csr: &[u8]) -> Result<CertificateSigningRequestDer<'_>, PkiError> {
    if csr.windows(5).any(|window| window == b"-----") {
        return CertificateSigningRequestDer::from_pem_slice(csr).map_err(|_| PkiError::BadRequest);
    }
    Ok(CertificateSigningRequestDer::from(csr))
}
