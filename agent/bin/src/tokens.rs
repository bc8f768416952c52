//! Tokens of service accounts that a pod's volumes hold: asked for with the node's own identity, bound to the
//! pod, and renewed long before they end. The node remembers them, so that neither another agent nor a reboot while
//! the API is away keeps a pod from its volumes.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_cache::Kind;
use agent_core::env::{TokenWish, Tokens};
use anyhow::{Context as _, anyhow, bail};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, Volume};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::objects::Objects;

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

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Times {
    renew: Timestamp,
    end: Timestamp,
}

/// A token as the node remembers it.
#[derive(Serialize, Deserialize)]
struct Kept {
    text: String,
    times: Times,
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

    /// Asks for what `volume` wishes and is not held, and for what is to be renewed at `now`. A token that could
    /// not be renewed stays, whatever its time: a pod without any would not start.
    ///
    /// # Errors
    ///
    /// What the API refused, where there was never a token.
    pub(crate) async fn bring(
        &mut self,
        client: &Client,
        objects: &Objects,
        pod: &Pod,
        volume: &Volume,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        for wish in wishes(volume) {
            let held = self.held(objects, pod, &wish);
            if held.is_some_and(|times| now < times.renew) {
                continue;
            }
            let answer = match held {
                Some(_) if objects.is_api_away() => Err(anyhow!("the API server does not answer")),
                _ => request(client, pod, &wish).await,
            };
            match (answer, held) {
                (Ok((text, end)), _) => {
                    let renew = renewal(now, end);
                    self.keep(objects, pod, wish, text, Times { renew, end });
                }
                (Err(error), Some(Times { end, .. })) => {
                    let renew = now.saturating_add(RETRY).unwrap_or(end);
                    self.times.insert(wish, Times { renew, end });
                    warn!(error = format!("{error:#}"), %end, "token not renewed yet");
                }
                (Err(error), None) => return Err(error),
            }
        }
        Ok(())
    }

    /// The times of the token for `wish`: held, or remembered from an earlier agent.
    fn held(&mut self, objects: &Objects, pod: &Pod, wish: &TokenWish) -> Option<Times> {
        if let Some(times) = self.times.get(wish) {
            return Some(*times);
        }
        let Kept { text, times } = objects.cache().get(uid(pod), Kind::Token, &name(wish))?;
        self.times.insert(wish.clone(), times);
        self.texts.insert(wish.clone(), text);
        Some(times)
    }

    fn keep(&mut self, objects: &Objects, pod: &Pod, wish: TokenWish, text: String, times: Times) {
        let kept = Kept { text, times };
        objects.cache().keep(uid(pod), Kind::Token, &name(&wish), &kept);
        self.times.insert(wish.clone(), times);
        self.texts.insert(wish, kept.text);
    }
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// Under which the token is remembered.
fn name(wish: &TokenWish) -> String {
    format!(
        "{} {}",
        wish.seconds,
        wish.audience.as_deref().unwrap_or_default()
    )
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
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use agent_cache::PodCache;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// An API that gives one token, for an hour from the epoch, and refuses every other; and how often it was asked.
    fn api() -> (Client, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            let code = if first { 201 } else { 503 };
            let answer = json!({
                "metadata": {}, "spec": { "audiences": [] },
                "status": { "token": "t1", "expirationTimestamp": "1970-01-01T01:00:00Z" },
            });
            let mut response = http::Response::new(Body::from(answer.to_string().into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
            async move { Ok::<_, Infallible>(response) }
        });
        (Client::new(service, "default"), asked)
    }

    /// An API that never answers.
    fn silent() -> Client {
        let service = tower::service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, Infallible>>()
        });
        Client::new(service, "default")
    }

    fn pod_with_token() -> (Pod, Volume) {
        let pod = json!({ "metadata": { "name": "p", "namespace": "n", "uid": "u" } });
        let sources = json!([{ "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } }]);
        let volume = json!({ "name": "v", "projected": { "sources": sources } });
        let volume = serde_json::from_value(volume).unwrap();
        (serde_json::from_value(pod).unwrap(), volume)
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_outlives_the_agent_and_the_api() {
        let (pod, volume) = pod_with_token();
        let (client, asked) = api();
        let objects = Objects::new(silent(), Arc::new(PodCache::in_memory()));
        let minutes = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let mut first = PodTokens::default();
        for minute in [0, 47] {
            first
                .bring(&client, &objects, &pod, &volume, minutes(minute))
                .await
                .unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let mut second = PodTokens::default();
        for (minute, times) in [(47, 1), (49, 2), (90, 3)] {
            second
                .bring(&client, &objects, &pod, &volume, minutes(minute))
                .await
                .unwrap();
            assert_eq!(asked.load(Ordering::Relaxed), times, "after {minute} minutes");
            assert_eq!(second.texts().values().collect::<Vec<_>>(), ["t1"]);
        }
        objects.api_is_away(true);
        let later = second.bring(&client, &objects, &pod, &volume, minutes(99)).await;
        assert!(later.is_ok());
        assert_eq!(asked.load(Ordering::Relaxed), 3, "nobody was there to be asked");
    }

    #[tokio::test]
    async fn a_pod_that_never_had_a_token_hears_why_it_gets_none() {
        let (pod, volume) = pod_with_token();
        let (client, asked) = api();
        asked.store(1, Ordering::Relaxed);
        let objects = Objects::new(silent(), Arc::new(PodCache::in_memory()));
        let mut tokens = PodTokens::default();
        let refused = tokens
            .bring(&client, &objects, &pod, &volume, Timestamp::UNIX_EPOCH)
            .await;
        let refused = format!("{:#}", refused.unwrap_err());
        assert!(
            refused.starts_with("failed to fetch token: serviceaccounts \"default\": "),
            "{refused}"
        );
    }

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
