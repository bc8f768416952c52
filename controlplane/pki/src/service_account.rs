use std::fmt;
use std::path::Path;

use rcgen::PublicKeyData;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::authority::{create_key, read_key};
use crate::{PkiError, files};

/// The key pair with which service account tokens are signed, `<dir>/sa.key` and `<dir>/sa.pub`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceAccountKeys {
    private_pem: String,
    public_pem: String,
    public_der: Vec<u8>,
    /// The private key as `PKCS #8`, and the public point.
    signing: (Vec<u8>, Vec<u8>),
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
            signing: (key.serialize_der(), key.der_bytes().to_vec()),
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

    /// The verifying key as a point of the curve P-256, not compressed: `04`, then both coordinates of 32 bytes.
    #[must_use]
    pub fn public_point(&self) -> &[u8] {
        &self.signing.1
    }

    /// SHA-256 of the verifying key: by it a token says which key signed it.
    #[must_use]
    pub fn key_id(&self) -> [u8; 32] {
        Sha256::digest(&self.public_der).into()
    }

    /// Signs `message` as JWS's ES256 does: both halves of the signature, 64 bytes; none where the key cannot sign.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &self.signing.0, &random).ok()?;
        let signature = key.sign(&random, message).ok()?;
        Some(signature.as_ref().to_vec())
    }

    /// Whether `signature` is one of this key over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, &self.signing.1)
            .verify(message, signature)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_message_and_key_only() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let keys = ServiceAccountKeys::load_or_create(one.path()).unwrap();
        let signature = keys.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64);
        let again = ServiceAccountKeys::load_or_create(one.path()).unwrap();
        assert!(again.verifies(b"message", &signature));
        assert_eq!(again.key_id(), keys.key_id());
        assert!(!keys.verifies(b"massage", &signature));
        let other = ServiceAccountKeys::load_or_create(other.path()).unwrap();
        assert!(!other.verifies(b"message", &signature));
    }
}
