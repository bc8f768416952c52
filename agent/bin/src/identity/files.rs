//! Certificates and keys on disk: 0600, replaced by rename.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;

/// A certificate chain and its key.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeyPair {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair(***)")
    }
}

impl KeyPair {
    /// From when to when the certificate is valid, in seconds since the epoch.
    fn validity(&self) -> Option<(i64, i64)> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(self.certificate_pem.as_bytes()).ok()?;
        let certificate = pem.parse_x509().ok()?;
        let validity = certificate.validity();
        Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
    }

    /// Whether it is of no use at `now`.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.validity().is_none_or(|(_, end)| end <= now.as_second())
    }

    /// How long to wait before asking for the next: until four fifths of its life are over.
    pub(crate) fn renew_in(&self, now: Timestamp) -> Duration {
        let Some((start, end)) = self.validity() else {
            return Duration::ZERO;
        };
        let due = start + (end - start) / 5 * 4;
        Duration::from_secs(u64::try_from(due - now.as_second()).unwrap_or(0))
    }

    /// Whether the certificate names every one of `addresses`.
    pub(crate) fn covers(&self, addresses: &[IpAddr]) -> bool {
        let named = || {
            let (_, pem) = x509_parser::pem::parse_x509_pem(self.certificate_pem.as_bytes()).ok()?;
            let certificate = pem.parse_x509().ok()?;
            let names = certificate.subject_alternative_name().ok()??;
            let of = |name: &GeneralName<'_>| match name {
                GeneralName::IPAddress(bytes) => match bytes.len() {
                    4 => <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from),
                    16 => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
                    _ => None,
                },
                _ => None,
            };
            Some(
                names
                    .value
                    .general_names
                    .iter()
                    .filter_map(of)
                    .collect::<Vec<_>>(),
            )
        };
        let named = named().unwrap_or_default();
        addresses.iter().all(|address| named.contains(address))
    }
}

/// A pair that nobody has signed, to listen with until there is a real one.
pub(super) fn self_signed(name: &str) -> anyhow::Result<KeyPair> {
    let key = rcgen::KeyPair::generate().context("make a key")?;
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).context("node name as DNS name")?;
    let certificate = params.self_signed(&key).context("sign a certificate")?;
    Ok(KeyPair {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

/// The folder of the node's keys, 0700.
#[derive(Debug, Clone)]
pub(crate) struct Store(PathBuf);

impl Store {
    /// Opens the folder, making it where there is none.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| format!("make the key folder {}", dir.display()))?;
        Ok(Self(dir.to_owned()))
    }

    /// The pair of this name; none where there is none or it is damaged.
    pub(crate) fn load(&self, name: &str) -> Option<KeyPair> {
        let text = std::fs::read_to_string(self.path(name)).ok()?;
        let (certificate, key) = text.split_at_checked(text.find(KEY_BEGINS)?)?;
        Some(KeyPair {
            certificate_pem: certificate.to_owned(),
            key_pem: key.to_owned(),
        })
    }

    /// Keeps `pair`: one file, so that certificate and key always belong together.
    pub(crate) fn save(&self, name: &str, pair: &KeyPair) -> anyhow::Result<()> {
        let path = self.path(name);
        let fresh = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(pair.certificate_pem.as_bytes())?;
            file.write_all(pair.key_pem.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)
        };
        // Half a key is of no use, and would keep the space that the whole one needs.
        let written = write().inspect_err(|_| drop(std::fs::remove_file(&fresh)));
        written.with_context(|| format!("write {}", path.display()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }
}

const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn pair() -> KeyPair {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["n".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        KeyPair {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    #[test]
    fn a_pair_survives_a_restart_and_is_for_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("pki")).unwrap();
        let pair = pair();
        store.save("client", &pair).unwrap();
        let read = store.load("client").unwrap();
        assert_eq!(
            (&read.certificate_pem, &read.key_pem),
            (&pair.certificate_pem, &pair.key_pem)
        );
        let mode = std::fs::metadata(store.path("client"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_changed_address_asks_for_a_new_certificate() {
        assert!(pair().covers(&["10.0.0.1".parse().unwrap()]));
        assert!(!pair().covers(&["10.0.0.2".parse().unwrap()]));
    }
}
