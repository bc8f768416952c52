//! Tokens of service accounts that a pod's volumes hold: asked for with the node's own identity, bound to the
//! pod, and renewed long before they end.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::env::{TokenWish, Tokens};
use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, Volume};
use kube::api::PostParams;
use kube::{Api, Client};
use tracing::warn;

/// How long the API may take to answer; the pod's worker waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// When a renewal that failed is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// A token is renewed after this time at the latest, as the kubelet does.
const OLDEST: SignedDuration = SignedDuration::from_hours(24);

/// The tokens of one pod.
#[derive(Debug, Default)]
pub(crate) struct PodTokens {
    texts: Tokens,
    times: BTreeMap<TokenWish, Times>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    renew: Timestamp,
    end: Timestamp,
}

impl PodTokens {
    /// What is held, by what was wished for.
    pub(crate) fn texts(&self) -> &Tokens {
        &self.texts
    }

    /// When the next one is to be renewed.
    pub(crate) fn renewal(&self) -> Option<Timestamp> {
        self.times.values().map(|times| times.renew).min()
    }

    /// Asks for what `volume` wishes and is not held, and for what is to be renewed at `now`.
    ///
    /// # Errors
    ///
    /// What the API refused, where there is no token that still counts.
    pub(crate) async fn bring(
        &mut self,
        client: &Client,
        pod: &Pod,
        volume: &Volume,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        for wish in wishes(volume) {
            let times = self.times.get(&wish).copied();
            if times.is_some_and(|times| now < times.renew) {
                continue;
            }
            match (request(client, pod, &wish).await, times) {
                (Ok((text, end)), _) => {
                    let renew = renewal(now, end);
                    self.times.insert(wish.clone(), Times { renew, end });
                    self.texts.insert(wish, text);
                }
                (Err(error), Some(Times { end, .. })) => {
                    let renew = now.saturating_add(RETRY).unwrap_or(end);
                    self.times.insert(wish, Times { renew, end });
                    if end <= now {
                        return Err(error);
                    }
                    warn!(error = format!("{error:#}"), "token not renewed yet");
                }
                (Err(error), None) => return Err(error),
            }
        }
        Ok(())
    }
}

fn wishes(volume: &Volume) -> impl Iterator<Item = TokenWish> {
    let sources = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
    sources.filter_map(|source| source.service_account_token.as_ref().map(TokenWish::of))
}

/// At four fifths of the token's life.
fn renewal(now: Timestamp, end: Timestamp) -> Timestamp {
    let life = end.duration_since(now).max(SignedDuration::ZERO);
    let soon = (life / 5 * 4).min(OLDEST);
    now.saturating_add(soon).unwrap_or(end)
}

/// A token of the pod's account, and when it ends.
async fn request(client: &Client, pod: &Pod, wish: &TokenWish) -> anyhow::Result<(String, Timestamp)> {
    let meta = &pod.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or("default");
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.as_deref());
    let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: wish.audience.clone().map(|audience| vec![audience]),
            expiration_seconds: Some(wish.seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: meta.name.clone(),
                uid: meta.uid.clone(),
            }),
        }),
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let what = || format!("failed to fetch token: serviceaccounts \"{account}\"");
    let params = PostParams::default();
    let asked = api.create_token_request(account, &params, &request);
    let answer = tokio::time::timeout(PATIENCE, asked)
        .await
        .with_context(|| format!("{}: no answer", what()))?
        .with_context(what)?;
    let status = answer.status.unwrap_or_default();
    match (status.token, status.expiration_timestamp) {
        (Some(token), Some(end)) => Ok((token, end.0)),
        _ => bail!("{}: the answer holds none", what()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_four_fifths_of_its_life_and_after_a_day() {
        let now = Timestamp::UNIX_EPOCH;
        let after = |hours: i64| now + SignedDuration::from_hours(hours);
        assert_eq!(renewal(now, after(5)), after(4));
        assert_eq!(renewal(now, after(240)), after(24));
        assert_eq!(renewal(now, now), now);
    }

    #[test]
    fn a_volume_wishes_for_the_tokens_of_all_its_sources() {
        let volume: Volume =
            serde_json::from_value(serde_json::json!({ "name": "v", "projected": { "sources": [
            { "serviceAccountToken": { "path": "token" } },
            { "configMap": { "name": "m" } },
            { "serviceAccountToken": { "path": "vault", "audience": "vault", "expirationSeconds": 600 } },
        ] } }))
            .unwrap();
        let found: Vec<_> = wishes(&volume)
            .map(|wish| (wish.audience, wish.seconds))
            .collect();
        assert_eq!(found, [(None, 3600), (Some("vault".to_owned()), 600)]);
    }
}
