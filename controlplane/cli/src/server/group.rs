//! The servers as the API shows them.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt as _;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;

/// A server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) state: String,
    pub(crate) behind: u64,
    pub(crate) peer: String,
    pub(crate) api: String,
    /// Why something that was asked for has not been done.
    pub(crate) message: String,
    /// It is asked to lead.
    pub(crate) asked: bool,
}

impl Known {
    pub(crate) fn leads(&self) -> bool {
        self.role == "Leader"
    }

    pub(crate) fn votes(&self) -> bool {
        self.leads() || self.role == "Voter"
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state == "Ready"
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state != "NotReady"
    }

    fn of(object: &DynamicObject) -> Self {
        let at = |path: &str| object.data.pointer(path);
        let text = |path: &str| at(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            role: text("/status/role"),
            state: text("/status/state"),
            behind: at("/status/entriesBehind").and_then(Value::as_u64).unwrap_or(0),
            peer: text("/spec/peerAddress"),
            api: text("/spec/apiAddress"),
            message: text("/status/message"),
            asked: at("/spec/lead").and_then(Value::as_bool).unwrap_or(false),
        }
    }
}

/// The objects.
pub(crate) fn api(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("floe.dev", "v1", "Server");
    Api::all_with(
        client.clone(),
        &ApiResource::from_gvk_with_plural(&kind, "servers"),
    )
}

/// Every server.
pub(crate) async fn all(client: &Client) -> anyhow::Result<Vec<Known>> {
    let listed = api(client).list(&ListParams::default()).await;
    let listed = listed
        .map_err(crate::verbs::sentence)
        .context("list the servers")?;
    Ok(listed.items.iter().map(Known::of).collect())
}

/// The one called `name`.
pub(crate) fn find<'a>(servers: &'a [Known], name: &str) -> anyhow::Result<&'a Known> {
    let Some(found) = servers.iter().find(|server| server.name == name) else {
        let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        bail!(
            "the cluster has no server {name}; its servers are {}",
            names.join(", ")
        );
    };
    Ok(found)
}

/// Waits until the server called `name` is as `wanted`; nothing where that takes longer than `patience`.
pub(crate) async fn wait_until(
    client: &Client,
    name: &str,
    patience: Duration,
    wanted: impl Fn(&Known) -> bool,
) -> anyhow::Result<Option<Known>> {
    let is = |object: Option<&DynamicObject>| object.is_some_and(|object| wanted(&Known::of(object)));
    let waited = tokio::time::timeout(patience, await_condition(api(client), name, is)).await;
    match waited {
        Ok(found) => {
            let found = found.with_context(|| format!("watch server {name}"))?;
            Ok(found.as_ref().map(Known::of))
        }
        Err(_) => Ok(None),
    }
}

/// The name of the first server that is not among `known`, once there is one.
pub(crate) async fn wait_new(client: &Client, known: &[Known]) -> anyhow::Result<String> {
    let mut changes = pin!(watcher(api(client), watcher::Config::default()).default_backoff());
    loop {
        let change = changes
            .next()
            .await
            .context("the watch of the servers has ended")?;
        // A failure is none: the server that is asked may be away while another begins to lead, and is asked again.
        let Ok(watcher::Event::Apply(seen) | watcher::Event::InitApply(seen)) = change else {
            continue;
        };
        let server = Known::of(&seen);
        if known.iter().all(|old| old.name != server.name) {
            return Ok(server.name);
        }
    }
}

/// Waits until the server called `name` votes.
pub(crate) async fn wait_vote(client: &Client, name: &str, patience: Duration) -> anyhow::Result<()> {
    let voting = wait_until(client, name, patience, |server| {
        server.votes() && server.is_ready()
    })
    .await?;
    match voting {
        Some(_) => Ok(()),
        None => bail!(
            "server {name} does not vote after {} s; `floe server list` shows how far it is, and `journalctl -u \
             floe-controlplane` on its machine why",
            patience.as_secs()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// An API that refuses the first question, then lists `a` and tells that `a` has changed and `b` come.
    fn client() -> Client {
        let asked = AtomicU32::new(0);
        let server = |name: &str| json!({"apiVersion": "floe.dev/v1", "kind": "Server", "metadata": {"name": name, "resourceVersion": "2"}});
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let watched = request
                .uri()
                .query()
                .is_some_and(|query| query.contains("watch=true"));
            let (code, text) = match (asked.fetch_add(1, Ordering::Relaxed), watched) {
                (0, _) => (503, String::new()),
                (_, false) => {
                    let list = json!({"apiVersion": "floe.dev/v1", "kind": "ServerList", "metadata": {"resourceVersion": "1"}, "items": [server("a")]});
                    (200, list.to_string())
                }
                (_, true) => {
                    let changes = [("MODIFIED", "a"), ("ADDED", "b")]
                        .map(|(kind, name)| json!({"type": kind, "object": server(name)}).to_string());
                    (200, format!("{}\n", changes.join("\n")))
                }
            };
            let mut response = http::Response::new(Body::from(text.into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
            async move { Ok::<_, Infallible>(response) }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn a_server_that_joins_is_heard_of_though_the_api_was_away() {
        let known = [Known {
            name: "a".to_owned(),
            ..Known::default()
        }];
        let new = tokio::time::timeout(Duration::from_secs(30), wait_new(&client(), &known)).await;
        assert_eq!(new.unwrap().unwrap(), "b");
    }
}
