//! Who may use an image that is here already: a private one only who could have pulled it.
//!
//! As the kubelet does since 1.35 (`imagePullCredentialsVerificationPolicy: NeverVerifyPreloadedImages`): what was
//! loaded by hand, pulled without credentials or with the node's own is for every pod; what was pulled with a
//! pod's credentials is for pods that have the same, until another's are accepted by the registry too.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::registry::{Credential, Keyring};
use crate::store::Named;

/// Credentials remembered for an image.
const REMEMBERED: usize = 64;

/// Who was let in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Access {
    /// Every pod.
    #[default]
    Anyone,
    /// Who has one of these: salt and hash, so that neither tells a password.
    With(BTreeSet<String>),
}

impl Access {
    /// Of an image that was pulled with a pod's `credential`.
    pub(crate) fn with(credential: &Credential) -> Self {
        let salt: [u8; 16] = rand::random();
        Self::With(BTreeSet::from([seal(&salt, credential)]))
    }

    /// Of what both give.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::With(mut all), Self::With(more)) => {
                if all.len() >= REMEMBERED {
                    all.pop_first();
                }
                all.extend(more);
                Self::With(all)
            }
            (Self::Anyone, _) | (_, Self::Anyone) => Self::Anyone,
        }
    }

    fn allows(&self, credential: &Credential) -> bool {
        let Self::With(seals) = self else { return true };
        seals.iter().any(|known| {
            let salt = known.split_once(':').map(|(salt, _)| salt);
            salt.and_then(unhex)
                .is_some_and(|salt| seal(&salt, credential) == *known)
        })
    }
}

impl Named {
    /// Whether a pod with `keyring` may use the image under the name `repository`.
    pub(crate) fn is_open_to(&self, repository: &str, keyring: &Keyring) -> bool {
        let own = || keyring.lookup(repository);
        !self.pulled || self.access == Access::Anyone || own().iter().any(|c| self.access.allows(c))
    }
}

fn seal(salt: &[u8], credential: &Credential) -> String {
    let mut hasher = Sha256::new();
    hasher.update(salt);
    for part in credential.parts() {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    format!("{}:{}", hex(salt), hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_credential_opens_and_any_of_several_does() {
        let (a, b) = (Credential::password("u", "one"), Credential::password("u", "two"));
        let access = Access::with(&a);
        assert!(access.allows(&a) && !access.allows(&b));
        let both = access.or(Access::with(&b));
        assert!(both.allows(&a) && both.allows(&b));
        assert!(!both.allows(&Credential::password("uo", "ne")));
        assert_eq!(both.or(Access::Anyone), Access::Anyone);
    }

    #[test]
    fn what_is_written_holds_no_password_and_no_two_are_alike() {
        let credential = Credential::password("u", "hunter2");
        let write = || serde_json::to_string(&Access::with(&credential)).unwrap();
        assert!(!write().contains("hunter2"));
        assert_ne!(write(), write());
    }

    #[test]
    fn the_remembered_are_bounded() {
        let one = |n: u32| Access::with(&Credential::password("u", &n.to_string()));
        let many = (0..200).map(one).reduce(Access::or);
        assert!(matches!(many, Some(Access::With(all)) if all.len() <= REMEMBERED));
    }
}
