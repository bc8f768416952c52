//! The servers as the API shows them.

use std::time::Duration;

use anyhow::{Context, bail};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::wait::await_condition;
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
