//! Removing a server, giving it its vote, and having another lead.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use controlplane_api::kinds::why_not_remove;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions::is_deleted};
use serde_json::{Value, json};

use super::group::{self, Known};
use crate::verbs::{Attempt, Output};

/// How long the servers may take to agree.
const AGREED: Duration = Duration::from_secs(30);
/// How long a server that has caught up may take to get its vote.
const PROMOTED: Duration = Duration::from_secs(5);
/// How long a server that is to vote may take to catch up.
const CAUGHT_UP: Duration = Duration::from_secs(600);
/// What is on its way all the time; up to this a server counts as caught up.
const CLOSE: u64 = 256;

async fn change(client: &Client, name: &str, change: &Value) -> anyhow::Result<()> {
    let patched = group::api(client)
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await;
    patched.map(drop).attempt(|| format!("change server {name}"))
}

/// Removes the server `name`.
pub(super) async fn remove(client: &Client, name: &str, force: bool, out: &mut Output) -> anyhow::Result<()> {
    let servers = group::all(client).await?;
    let server = group::find(&servers, name)?;
    if force {
        let forced = json!({"metadata": {"annotations": {"floe.dev/force-removal": "true"}}});
        change(client, name, &forced).await?;
    } else {
        let votes: Vec<(&str, bool)> = servers
            .iter()
            .filter(|server| server.votes())
            .map(|server| (server.name.as_str(), server.is_up()))
            .collect();
        if let Some(why) = why_not_remove(name, &votes) {
            bail!("server {name} is not removed: {why}");
        }
    }
    // One that is asked through itself could not tell that it is no member any more.
    if server.leads() && heir(&servers).is_ok() {
        hand_over(client, None, out).await?;
    }
    let api = group::api(client);
    let deleted = api.delete(name, &DeleteParams::default()).await;
    let left = deleted.attempt(|| format!("remove server {name}"))?.left();
    let uid = left.and_then(|object| object.metadata.uid).unwrap_or_default();
    let gone = await_condition(api.clone(), name, is_deleted(&uid));
    if tokio::time::timeout(AGREED, gone).await.is_err() {
        let known = group::all(client).await.unwrap_or_default();
        let why = known.into_iter().find(|server| server.name == name);
        let why = why
            .map(|server| server.message)
            .filter(|message| !message.is_empty());
        bail!(
            "server {name} is not removed after {} s: {}",
            AGREED.as_secs(),
            why.unwrap_or_else(|| "a majority of the servers must be up and agree".to_owned())
        );
    }
    out.line(&format!(
        "Server {name} is removed from the cluster.\n\
         On its machine, stop it (`systemctl disable --now floe-controlplane`, or on NixOS \
         services.floe.controlplane.enable = false)\n\
         and delete /var/lib/floe/controlplane: it may then join again, as a new server. A machine that `floe up` made goes \
         with `floe node rm {name}`."
    ))
}

/// Sees to it that the server `name` votes.
pub(super) async fn promote(client: &Client, name: &str, wait: bool, out: &mut Output) -> anyhow::Result<()> {
    let servers = group::all(client).await?;
    let server = group::find(&servers, name)?;
    if server.votes() {
        return out.line(&format!("Server {name} votes already."));
    }
    if !wait {
        ensure!(
            server.is_up(),
            "server {name} gets no vote yet: it does not answer; start floe-controlplane on its machine"
        );
        ensure!(
            server.behind <= CLOSE,
            "server {name} gets no vote yet: it is {} entries behind, and votes by itself from {CLOSE} on; --wait waits for that",
            server.behind
        );
    }
    let patience = if wait { CAUGHT_UP } else { PROMOTED };
    group::wait_vote(client, name, patience).await?;
    out.line(&format!("Server {name} votes now."))
}

/// The server that may lead next.
fn heir(servers: &[Known]) -> anyhow::Result<&Known> {
    let mut others = servers
        .iter()
        .filter(|server| server.role == "Voter" && server.is_ready());
    let heir = others.clone().find(|server| server.behind == 0).or(others.next());
    heir.with_context(|| match servers {
        [only] => format!(
            "{} is the only server; let others join first (`floe server add`)",
            only.name
        ),
        _ => "no other server votes and is up; `floe server list` shows them".to_owned(),
    })
}

/// Has the server `to` lead.
pub(super) async fn hand_over(client: &Client, to: Option<&str>, out: &mut Output) -> anyhow::Result<()> {
    let servers = group::all(client).await?;
    let to = match to {
        Some(name) => group::find(&servers, name)?,
        None => heir(&servers)?,
    };
    let name = &to.name;
    if to.leads() {
        return out.line(&format!("Server {name} leads already."));
    }
    ensure!(
        to.votes(),
        "server {name} cannot lead: it has no vote yet (`floe server promote {name}` tells why)"
    );
    ensure!(
        to.is_up(),
        "server {name} cannot lead: it does not answer; start floe-controlplane on its machine"
    );
    let begun = Instant::now();
    change(client, name, &json!({"spec": {"lead": true}})).await?;
    let ended = group::wait_until(client, name, AGREED, |server| server.leads() || !server.asked).await?;
    match ended {
        Some(server) if server.leads() => out.line(&format!(
            "Server {name} leads now ({:.1} s).",
            begun.elapsed().as_secs_f64()
        )),
        Some(server) => bail!("server {name} does not lead: {}", server.message),
        None => bail!(
            "server {name} does not lead after {} s; `floe server list` shows who does",
            AGREED.as_secs()
        ),
    }
}
