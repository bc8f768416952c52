//! The join token, which is changed for all servers at once.
//!
//! The object `kube-system/floe-join` holds a number and no secret: from it and the authority's key, which every server
//! has, each works out the same token. One that is down meanwhile does so when it is back. As long as there is no such
//! object, the token is the one that the first server drew.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use controlplane_pki::{CertificateAuthority, write_private};
use controlplane_raft::join::JoinToken;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use ring::hmac;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const NAMESPACE: &str = "kube-system";
const OBJECT: &str = "floe-join";
const KEY: &str = "generation";
/// Of a secret; 165 bits.
const LETTERS: usize = 32;

/// The token that this server takes.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) authority: Arc<CertificateAuthority>,
    /// The authority's key, in a file that all servers have.
    pub(crate) key: PathBuf,
    /// Where it lies for operators to copy.
    pub(crate) file: PathBuf,
    pub(crate) taken: watch::Sender<JoinToken>,
}

impl Tokens {
    /// Follows the number, until `stop`.
    pub(crate) async fn follow(self, client: Client, stop: CancellationToken) {
        let api: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
        let only = watcher::Config::default().fields(&format!("metadata.name={OBJECT}"));
        let objects = watcher::watcher(api, only).default_backoff().applied_objects();
        let mut objects = std::pin::pin!(objects);
        while let Some(Some(found)) = stop.run_until_cancelled(objects.next()).await {
            let Ok(object) = found else { continue };
            let text = object.data.unwrap_or_default().remove(KEY).unwrap_or_default();
            match text.parse::<u64>() {
                Ok(generation) => self.turn_to(generation),
                Err(_) => warn!(
                    found = text,
                    "kube-system/floe-join: the key generation holds no number; the join token stays"
                ),
            }
        }
    }

    fn turn_to(&self, generation: u64) {
        let key = std::fs::read(&self.key).with_context(|| format!("read {}", self.key.display()));
        let turned = key.and_then(|key| token(&self.authority, &key, generation));
        let Ok(token) = turned.inspect_err(|error| warn!(error = &**error, "the join token stays")) else {
            return;
        };
        if *self.taken.borrow() == token {
            return;
        }
        if let Err(error) = write_private(&self.file, &format!("{}\n", token.reveal())) {
            warn!(error = &error as &dyn std::error::Error, file = %self.file.display(), "the new join token could not be written down");
        }
        self.taken.send_replace(token);
        info!(generation, "servers join with a new token from now on");
    }
}

fn token(authority: &CertificateAuthority, key: &[u8], generation: u64) -> anyhow::Result<JoinToken> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("floe join token {generation}").as_bytes());
    let letter = |byte: &u8| char::from_digit(u32::from(*byte) % 36, 36).unwrap_or('0');
    let secret: String = tag.as_ref().iter().map(letter).take(LETTERS).collect();
    Ok(JoinToken::new(&authority.certificate_der()?, &secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_one_authority_work_out_the_same_token_and_each_number_another() {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now();
        let load =
            |name: &str| CertificateAuthority::load_or_create(&dir.path().join(name), name, now).unwrap();
        let authority = load("ca");
        let of = |key: &str, generation| token(&authority, key.as_bytes(), generation).unwrap().reveal();
        assert_eq!(of("key", 1), of("key", 1));
        assert_ne!(of("key", 1), of("key", 2));
        let (own, foreign) = (of("key", 1), of("another", 1));
        assert_ne!(
            own.rsplit_once('.').unwrap().1,
            foreign.rsplit_once('.').unwrap().1
        );
        assert!(JoinToken::parse(&own).is_ok());
    }
}
