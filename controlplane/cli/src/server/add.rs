//! Letting a server join: what to do on its machine, and the token for it.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::group::{self, Known};
use crate::verbs::{Output, sentence};

/// Where every server keeps the token, by default.
const TOKEN: &str = "/var/lib/floe/controlplane/join-token";
/// The object with the token's number, which all servers follow.
const OBJECT: &str = "floe-join";
const GENERATION: &str = "generation";

/// Arguments of `add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// The new machine's address, for the lines to copy.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Wait until a new server votes.
    #[arg(long)]
    wait: bool,
    /// How many seconds to wait at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, requires = "wait")]
    timeout: u64,
}

/// Tells what to do on a new machine.
pub(super) async fn run(client: &Client, args: &AddArgs, out: &mut Output) -> anyhow::Result<()> {
    let servers = group::all(client).await?;
    out.write(&steps(&servers, args.address)?)?;
    if !args.wait {
        return Ok(());
    }
    let patience = Duration::from_secs(args.timeout);
    let joined = tokio::time::timeout(patience, group::wait_new(client, &servers)).await;
    let Ok(joined) = joined else {
        bail!(
            "no new server has joined within {} s; `journalctl -u floe-controlplane` on its machine tells why",
            args.timeout
        );
    };
    let name = joined?;
    out.line(&format!("\nServer {name} has joined and copies the state."))?;
    group::wait_vote(client, &name, patience).await?;
    out.line(&format!("Server {name} votes."))
}

fn steps(servers: &[Known], address: Option<IpAddr>) -> anyhow::Result<String> {
    let up: Vec<&Known> = servers
        .iter()
        .filter(|server| server.votes() && server.is_up())
        .collect();
    let first = up.first().context("no server of the cluster is up")?;
    ensure!(
        up.iter().all(|server| !is_loopback(&server.peer)),
        "{} is known at {}, which no other machine reaches: set advertise_address in its configuration and start it again",
        first.name,
        first.peer
    );
    let host = first
        .peer
        .rsplit_once(':')
        .map_or(first.peer.as_str(), |(host, _)| host);
    let peers: Vec<String> = up.iter().map(|server| format!("{:?}", server.peer)).collect();
    let address = address.map_or("ADDRESS".to_owned(), |address| address.to_string());
    Ok(format!(
        "1. Copy the token, a secret, from a server to the new machine:\n\n\
         \x20  ssh root@{host} cat {TOKEN} | ssh root@{address} 'umask 077; mkdir -p /etc/floe; cat > /etc/floe/join-token'\n\n\
         2. Tell the new machine whom to ask. On NixOS:\n\n\
         \x20  services.floe.controlplane = {{\n\
         \x20    enable = true;\n\
         \x20    openFirewall = true;\n\
         \x20    settings.advertise_address = \"{address}\";\n\
         \x20    settings.join = [ {nix} ];\n\
         \x20    settings.join_token_file = \"/etc/floe/join-token\";\n\
         \x20  }};\n\n\
         \x20  elsewhere in /etc/floe/controlplane.toml, with what the other servers' file says of networks:\n\n\
         \x20  advertise_address = \"{address}\"\n\
         \x20  join = [{toml}]\n\
         \x20  join_token_file = \"/etc/floe/join-token\"\n\n\
         \x20  A file that its configuration names besides, such as /etc/floe/bootstrap-token, must be there as on the others.\n\n\
         3. Start it: nixos-rebuild switch, or systemctl enable --now floe-controlplane.\n\n\
         It copies the state and votes by itself once it has caught up; `floe server list` shows it.\n",
        nix = peers.join(" "),
        toml = peers.join(", "),
    ))
}

fn is_loopback(address: &str) -> bool {
    let parsed = address.parse::<std::net::SocketAddr>();
    parsed.is_ok_and(|address| address.ip().is_loopback())
}

/// Tells where the token lies; with `rotate` replaces it.
pub(super) async fn token(client: &Client, rotate: bool, out: &mut Output) -> anyhow::Result<()> {
    if !rotate {
        return out.line(&format!(
            "The token lies in {TOKEN} on every server, for root alone; `floe server add` tells how to use it, \
             `floe server token --rotate` replaces it."
        ));
    }
    let api = Api::<ConfigMap>::namespaced(client.clone(), "kube-system");
    let what = "replace the join token";
    let known = api.get_opt(OBJECT).await.map_err(sentence).context(what)?;
    let next = generation(known.as_ref())? + 1;
    let written = match known {
        Some(mut known) => {
            known
                .data
                .get_or_insert_default()
                .insert(GENERATION.to_owned(), next.to_string());
            // On condition of its version: two at once would count once.
            api.replace(OBJECT, &PostParams::default(), &known).await
        }
        None => {
            let metadata = ObjectMeta {
                name: Some(OBJECT.to_owned()),
                ..ObjectMeta::default()
            };
            let object = ConfigMap {
                metadata,
                data: Some([(GENERATION.to_owned(), next.to_string())].into()),
                ..ConfigMap::default()
            };
            api.create(&PostParams::default(), &object).await
        }
    };
    written.map_err(sentence).context(what)?;
    out.line(&format!(
        "Servers join with a new token from now on, in {TOKEN} of each server; the old one lets nobody in. A server that is \
         down learns of it when it is back."
    ))
}

fn generation(object: Option<&ConfigMap>) -> anyhow::Result<u64> {
    let text = object
        .and_then(|object| object.data.as_ref())
        .and_then(|data| data.get(GENERATION));
    match text {
        None => Ok(0),
        Some(text) => text.parse().with_context(|| {
            format!("configmap kube-system/{OBJECT} says {GENERATION} = {text:?}, which is no number; delete it and try again")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, address: &str) -> Known {
        Known {
            name: name.to_owned(),
            role: "Voter".to_owned(),
            state: "Ready".to_owned(),
            peer: address.to_owned(),
            ..Known::default()
        }
    }

    #[test]
    fn the_steps_name_every_server_that_is_up_and_no_secret() {
        let mut down = server("c", "10.0.0.3:6444");
        down.state = "NotReady".to_owned();
        let servers = [server("a", "10.0.0.1:6444"), server("b", "10.0.0.2:6444"), down];
        let text = steps(&servers, "10.0.0.9".parse().ok()).unwrap();
        assert!(
            text.contains("join = [\"10.0.0.1:6444\", \"10.0.0.2:6444\"]"),
            "{text}"
        );
        assert!(
            text.contains("settings.join = [ \"10.0.0.1:6444\" \"10.0.0.2:6444\" ]"),
            "{text}"
        );
        assert!(
            text.contains("root@10.0.0.1 cat") && text.contains("root@10.0.0.9"),
            "{text}"
        );
        assert!(
            !text.contains("10.0.0.3") && !text.contains("floe-join."),
            "{text}"
        );
    }

    #[test]
    fn a_server_that_others_cannot_reach_is_told_of() {
        let refused = steps(&[server("a", "127.0.0.1:6444")], None).unwrap_err();
        assert!(refused.to_string().contains("advertise_address"), "{refused}");
    }
}
