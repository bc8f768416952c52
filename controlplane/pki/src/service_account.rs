use std::fmt;
use std::path::Path;

use rcgen::PublicKeyData;

use crate::authority::{create_key, read_key};
use crate::{PkiError, files};

/// The key pair with which service account tokens are signed, `<dir>/sa.key` and `<dir>/sa.pub`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceAccountKeys {
    private_pem: String,
    public_pem: String,
    public_der: Vec<u8>,
}

impl fmt::Debug for ServiceAccountKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountKeys")
            .field("public_pem", &self.public_pem)
            .finish_non_exhaustive()
    }
}

impl ServiceAccountKeys {
    /// Reads the key, and makes it where it is missing; the public half follows from it.
    ///
    /// # Errors
    ///
    /// Never replaces a key that is damaged.
    pub fn load_or_create(dir: &Path) -> Result<Self, PkiError> {
        let (private_path, public_path) = (dir.join("sa.key"), dir.join("sa.pub"));
        let key = match read_key(&private_path)? {
            Some(key) => key,
            None => create_key(&private_path, "service-accounts")?,
        };
        let public_pem = key.public_key_pem();
        if files::read_if_present(&public_path)?.as_deref() != Some(&public_pem) {
            files::write_private(&public_path, &public_pem)?;
        }
        Ok(Self {
            private_pem: key.serialize_pem(),
            public_der: key.subject_public_key_info(),
            public_pem,
        })
    }

    /// The signing key, PKCS #8.
    #[must_use]
    pub fn private_pem(&self) -> &str {
        &self.private_pem
    }

    /// The verifying key.
    #[must_use]
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The verifying key as `SubjectPublicKeyInfo`, of which key IDs are made.
    #[must_use]
    pub fn public_der(&self) -> &[u8] {
        &self.public_der
    }
}
