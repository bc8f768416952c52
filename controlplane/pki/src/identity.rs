use std::net::IpAddr;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::PkiError;

/// Who a client certificate says its owner is: the common name is the user, the organizations its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The user.
    pub common_name: String,
    /// The user's groups.
    pub organizations: Vec<String>,
}

/// Reads whom a certificate is for. The signature has been checked by TLS before.
///
/// # Errors
///
/// Refuses bytes that are no certificate, or one without a common name.
pub fn peer_identity(der: &[u8]) -> Result<PeerIdentity, PkiError> {
    let facts = CertificateFacts::parse_der(der)?;
    if facts.common_name.is_empty() {
        return Err(PkiError::BadCertificate);
    }
    Ok(PeerIdentity {
        common_name: facts.common_name,
        organizations: facts.organizations,
    })
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's common name; empty where it has none.
    pub common_name: String,
    /// The subject's organizations.
    pub organizations: Vec<String>,
    /// Alternative names.
    pub dns_names: Vec<String>,
    /// Alternative addresses.
    pub ip_addresses: Vec<IpAddr>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
}

impl CertificateFacts {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    ///
    /// Refuses what is no certificate.
    pub fn parse(pem: &str) -> Result<Self, PkiError> {
        Self::parse_der(&first_der(pem)?)
    }

    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// Refuses what is no certificate.
    pub fn parse_der(der: &[u8]) -> Result<Self, PkiError> {
        let certificate = parse(der)?;
        let (common_name, organizations) = subject(certificate.subject());
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| PkiError::BadCertificate)?;
        let (dns_names, ip_addresses) = names
            .map(|extension| alternative_names(&extension.value.general_names))
            .unwrap_or_default();
        let validity = certificate.validity();
        Ok(Self {
            common_name,
            organizations,
            dns_names,
            ip_addresses,
            not_before: timestamp(validity.not_before.timestamp())?,
            not_after: timestamp(validity.not_after.timestamp())?,
        })
    }

    /// When to renew: after four fifths of the validity, so that a fifth is left to try.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let (from, until) = (self.not_before.as_second(), self.not_after.as_second());
        let fifth = until.saturating_sub(from) / 5;
        Timestamp::from_second(until.saturating_sub(fifth)).unwrap_or(self.not_after)
    }
}

/// The public key of the first certificate of a PEM text, as `SubjectPublicKeyInfo`.
pub(crate) fn public_key_der(pem: &str) -> Result<Vec<u8>, PkiError> {
    let der = first_der(pem)?;
    Ok(parse(&der)?.public_key().raw.to_vec())
}

/// Common name and organizations.
pub(crate) fn subject(name: &X509Name<'_>) -> (String, Vec<String>) {
    let common_name = name
        .iter_common_name()
        .find_map(|part| part.as_str().ok())
        .unwrap_or_default();
    let organizations = name.iter_organization().filter_map(|part| part.as_str().ok());
    (common_name.to_owned(), organizations.map(str::to_owned).collect())
}

/// DNS names and addresses; other kinds of names mean nothing here.
pub(crate) fn alternative_names(names: &[GeneralName<'_>]) -> (Vec<String>, Vec<IpAddr>) {
    let (mut dns, mut ip) = (Vec::new(), Vec::new());
    for name in names {
        match name {
            GeneralName::DNSName(text) => dns.push((*text).to_owned()),
            GeneralName::IPAddress(octets) => ip.extend(address(octets)),
            _ => {}
        }
    }
    (dns, ip)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

fn first_der(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| PkiError::BadCertificate)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PkiError> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|_| PkiError::BadCertificate)
}

fn timestamp(seconds: i64) -> Result<Timestamp, PkiError> {
    Timestamp::from_second(seconds).map_err(|_| PkiError::BadCertificate)
}
