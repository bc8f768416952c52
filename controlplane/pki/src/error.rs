use std::io;
use std::path::PathBuf;

/// Why a key, certificate or request could not be made, read or kept.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read.
    #[error("read {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written; the old one, if any, is as it was.
    #[error("write {path}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no such thing; restore it from a backup.
    #[error("{path} holds no usable key or certificate: restore it from a backup", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
    /// The certificate of an authority is there, its key is not.
    #[error("{certificate} has no key {key}: restore the key, or remove both to begin a new authority",
        certificate = .certificate.display(), key = .key.display())]
    KeyMissing {
        /// The certificate that is there.
        certificate: PathBuf,
        /// The key that is not.
        key: PathBuf,
    },
    /// Key and certificate of an authority are not a pair.
    #[error("{certificate} was not made for {key}: restore the one that belongs to it",
        certificate = .certificate.display(), key = .key.display())]
    NotAPair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// A certificate or request could not be put together or signed.
    #[error("make a certificate for {common_name}")]
    Issue {
        /// Whom it was for.
        common_name: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A subject with several organizations, which the encoder cannot write.
    #[error("make a certificate for {common_name}: more than one organization is not supported")]
    ManyOrganizations {
        /// Whom it was for.
        common_name: String,
    },
    /// A request that is neither PEM nor DER, has an unknown extension, or is not signed by its own key.
    #[error("certificate request is damaged, or not signed by the key it is for")]
    BadRequest,
    /// A request could be read but not taken over into a certificate.
    #[error("certificate request cannot be signed")]
    UnsupportedRequest(#[source] rcgen::Error),
    /// Bytes that are no certificate.
    #[error("certificate is damaged")]
    BadCertificate,
}
