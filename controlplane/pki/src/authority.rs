use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use crate::{PkiError, files, identity, params, request};

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usages {
    /// To serve.
    Server,
    /// To identify a client.
    Client,
    /// Both.
    Both,
}

/// A certificate to issue together with a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The user or server.
    pub common_name: String,
    /// The user's groups; at most one.
    pub organizations: Vec<String>,
    /// Names under which it serves.
    pub dns_names: Vec<String>,
    /// Addresses at which it serves.
    pub ip_addresses: Vec<IpAddr>,
    /// What it may be used for.
    pub usages: Usages,
    /// From now; [`LEAF_VALIDITY`](crate::LEAF_VALIDITY) is usual.
    pub validity: Duration,
}

impl Request {
    /// A client certificate of the usual validity.
    #[must_use]
    pub fn client(common_name: &str, organization: Option<&str>) -> Self {
        Self {
            common_name: common_name.to_owned(),
            organizations: organization.into_iter().map(str::to_owned).collect(),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            usages: Usages::Client,
            validity: params::LEAF_VALIDITY,
        }
    }

    /// A serving certificate of the usual validity.
    #[must_use]
    pub fn server(common_name: &str, dns_names: Vec<String>, ip_addresses: Vec<IpAddr>) -> Self {
        Self {
            dns_names,
            ip_addresses,
            usages: Usages::Server,
            ..Self::client(common_name, None)
        }
    }
}

/// What the authority decides about a request that it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningPolicy {
    /// What the certificate may be used for, whatever the request says.
    pub usages: Usages,
    /// From now.
    pub validity: Duration,
}

/// A new certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// The key, PKCS #8. A secret: `Debug` prints `***`.
    pub key_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Issued");
        shown
            .field("certificate_pem", &self.certificate_pem)
            .field("key_pem", &"***")
            .finish()
    }
}

/// An authority whose key lies in a folder.
#[derive(Debug)]
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl CertificateAuthority {
    /// Reads `<dir>/ca.crt` and `<dir>/ca.key`, and makes them where both are missing.
    ///
    /// The key is written first, so a crash between the two leaves a key for which the next start makes the
    /// certificate. `common_name` and `now` matter only when the certificate is made.
    ///
    /// # Errors
    ///
    /// Never replaces what is there: fails where one of the two is damaged, lost, or not the other's.
    pub fn load_or_create(dir: &Path, common_name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let (certificate_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
        let certificate = files::read_if_present(&certificate_path)?;
        let Some(key) = read_key(&key_path)? else {
            if certificate.is_some() {
                return Err(PkiError::KeyMissing {
                    certificate: certificate_path,
                    key: key_path,
                });
            }
            let key = create_key(&key_path, common_name)?;
            return Self::create(&certificate_path, key, common_name, now);
        };
        match certificate {
            None => Self::create(&certificate_path, key, common_name, now),
            Some(pem) => Self::restore(pem, key, &certificate_path, &key_path),
        }
    }

    fn create(path: &Path, key: KeyPair, common_name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let params = params::authority(common_name, now);
        let certificate = params
            .self_signed(&key)
            .map_err(|source| issue_error(common_name, source))?;
        let certificate_pem = certificate.pem();
        files::write_private(path, &certificate_pem)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate_pem,
        })
    }

    fn restore(pem: String, key: KeyPair, certificate: &Path, key_path: &Path) -> Result<Self, PkiError> {
        if identity::public_key_der(&pem)? != key.subject_public_key_info() {
            return Err(PkiError::NotAPair {
                certificate: certificate.to_owned(),
                key: key_path.to_owned(),
            });
        }
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(|source| PkiError::Damaged {
            path: certificate.to_owned(),
            source,
        })?;
        Ok(Self {
            issuer,
            certificate_pem: pem,
        })
    }

    /// The authority's own certificate, which clients trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The same in DER.
    ///
    /// # Errors
    ///
    /// Fails only where the file that was loaded holds more than a certificate.
    pub fn certificate_der(&self) -> Result<CertificateDer<'static>, PkiError> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(|_| PkiError::BadCertificate)
    }

    /// `sha256:<hex>` of the authority's public key, by which a joining machine can know it.
    #[must_use]
    pub fn public_key_hash(&self) -> String {
        let digest = Sha256::digest(self.issuer.key().subject_public_key_info());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    /// Makes a key and its certificate.
    ///
    /// # Errors
    ///
    /// Fails where a name cannot be written into a certificate.
    pub fn issue(&self, request: &Request, now: Timestamp) -> Result<Issued, PkiError> {
        let name = &request.common_name;
        request::check_organizations(name, &request.organizations)?;
        let failed = |source| issue_error(name, source);
        let key = KeyPair::generate().map_err(failed)?;
        let params = params::leaf(request, now).map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Signs a request, PEM or DER: subject and alternative names are the request's, everything else
    /// the policy's. Whether the subject may have them is for the caller to decide, by
    /// [`CsrFacts`](crate::CsrFacts).
    ///
    /// # Errors
    ///
    /// Refuses a request that is damaged, not signed by its own key, or has extensions that are not known here.
    pub fn sign_csr(&self, csr: &[u8], policy: &SigningPolicy, now: Timestamp) -> Result<String, PkiError> {
        let mut csr = request::parse(csr)?;
        params::restrict(&mut csr.params, policy, now);
        let certificate = csr
            .signed_by(&self.issuer)
            .map_err(PkiError::UnsupportedRequest)?;
        Ok(certificate.pem())
    }
}

pub(crate) fn issue_error(common_name: &str, source: rcgen::Error) -> PkiError {
    PkiError::Issue {
        common_name: common_name.to_owned(),
        source,
    }
}

pub(crate) fn read_key(path: &Path) -> Result<Option<KeyPair>, PkiError> {
    let Some(pem) = files::read_if_present(path)? else {
        return Ok(None);
    };
    let damaged = |source| PkiError::Damaged {
        path: path.to_owned(),
        source,
    };
    KeyPair::from_pem(&pem).map(Some).map_err(damaged)
}

pub(crate) fn create_key(path: &Path, purpose: &str) -> Result<KeyPair, PkiError> {
    let key = KeyPair::generate().map_err(|source| issue_error(purpose, source))?;
    files::write_private(path, &key.serialize_pem())?;
    Ok(key)
}

#[cfg(test)]
mod tests;
