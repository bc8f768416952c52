//! Joining the cluster of another server, and letting others join.
//!
//! A server without state fetches keys and names once, writes them down, and asks the leader to be added until it is a
//! member. What was written down makes a start after a crash go on where the last one ended.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use controlplane_pki::write_private;
use controlplane_raft::join::{Bundle, Door, JoinToken, fetch};
use controlplane_raft::{Change, Members, Peer, Role, Server, ServerId};
use controlplane_store::ClusterId;
use rand::RngExt;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::Config;
use crate::identities::Identities;
use crate::servers::Tokens;

/// Which cluster was joined, through whom.
const JOINED: &str = "joined";
/// The token with which others join.
const TOKEN: &str = "join-token";
const AUTHORITY_KEY: &str = "pki/ca/ca.key";
/// What a server that joins is given.
const FILES: [&str; 7] = [
    "pki/ca/ca.crt",
    AUTHORITY_KEY,
    "pki/front-proxy-ca/ca.crt",
    "pki/front-proxy-ca/ca.key",
    "pki/sa/sa.key",
    "pki/sa/sa.pub",
    TOKEN,
];
/// How soon the leader is asked again to add this server, and for how long.
const RETRY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(120);

/// Fetches what is needed to join, where the configuration says so and this server has no state yet.
///
/// # Errors
///
/// Where the other server cannot be reached, is another cluster's, or does not take the token.
pub(crate) async fn begin(config: &Config) -> anyhow::Result<()> {
    let Some((addresses, token)) = &config.join else {
        return Ok(());
    };
    let folder = &config.state_dir;
    if folder.join("store.db").exists() || folder.join(JOINED).exists() {
        return Ok(());
    }
    let bundle = fetch_from_any(addresses, token).await?;
    for (path, text) in &bundle.files {
        let path = beneath(folder, path)?;
        if let Some(parent) = path.parent() {
            crate::run::make_private(parent)?;
        }
        write_private(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    let members: Vec<String> = bundle
        .members
        .iter()
        .map(|(id, peer)| format!("{id} {} {} {}", peer.address, peer.api, peer.name))
        .collect();
    // Last: only what is whole counts as joined.
    let text = format!("{}\n{}\n", bundle.cluster, members.join("\n"));
    write_private(&folder.join(JOINED), &text).context("write down which cluster was joined")
}

/// What the first of `addresses` gives that gives anything.
async fn fetch_from_any(addresses: &[String], token: &JoinToken) -> anyhow::Result<Bundle> {
    let mut failed = Vec::new();
    for address in addresses {
        info!(server = address, "joining the cluster of another server");
        match fetch(address, token).await {
            Ok(bundle) => return Ok(bundle),
            Err(error) => failed.push(format!("through {address}: {error}")),
        }
    }
    bail!("cannot join (key `join`) {}", failed.join("; "))
}

/// Only names that a server gives, beneath the state folder.
fn beneath(folder: &Path, path: &str) -> anyhow::Result<PathBuf> {
    let plain = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !plain || !FILES.contains(&path) {
        bail!("the other server gave a file of the name {path:?}, which none of ours has");
    }
    Ok(folder.join(path))
}

/// The cluster that was joined, where this server has not founded its own.
///
/// # Errors
///
/// Where the file that says so cannot be read.
pub(crate) fn cluster(folder: &Path) -> anyhow::Result<Option<ClusterId>> {
    Ok(read(folder)?.map(|joined| joined.cluster))
}

/// What was written down when this server joined.
struct Joined {
    cluster: ClusterId,
    members: Vec<(ServerId, Peer)>,
}

fn read(folder: &Path) -> anyhow::Result<Option<Joined>> {
    let path = folder.join(JOINED);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let mut lines = text.lines();
    let cluster = ClusterId::from_stored(lines.next().unwrap_or_default().to_owned());
    let members = lines.filter_map(|line| {
        let mut words = line.splitn(4, ' ');
        let id = words.next()?.parse().ok()?;
        let (address, api) = (words.next()?.to_owned(), words.next()?.to_owned());
        let name = words.next()?.to_owned();
        Some((id, Peer { name, address, api }))
    });
    Ok(Some(Joined {
        cluster,
        members: members.collect(),
    }))
}

/// Asks to be added until this server is a member that votes or learns.
///
/// # Errors
///
/// Where the leader refuses, or none is found in time.
pub(crate) async fn finish(folder: &Path, server: &Server, own: Peer) -> anyhow::Result<()> {
    let Some(Joined { mut members, .. }) = read(folder)? else {
        return Ok(());
    };
    let own_id = server.members().own_id();
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut last = None;
    while !is_member(&server.members()) {
        if tokio::time::Instant::now() >= until {
            bail!(
                "no server has added this one within {} s: {}",
                PATIENCE.as_secs(),
                last.unwrap_or_else(|| "none answered".to_owned())
            );
        }
        for (id, peer) in &members {
            match server
                .members()
                .ask(*id, peer, Change::Add(own_id, own.clone()))
                .await
            {
                Ok(()) => {}
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, server = %peer, "not added yet");
                    last = Some(error.to_string());
                }
            }
        }
        tokio::time::sleep(RETRY).await;
        let known = server.members().list();
        members.extend(known.into_iter().map(|info| (info.id, info.peer)));
        members.sort_unstable_by_key(|(id, _)| *id);
        members.dedup_by_key(|(id, _)| *id);
        members.retain(|(id, _)| *id != own_id);
    }
    Ok(())
}

fn is_member(members: &Members) -> bool {
    let own = members.own_id();
    let list = members.list();
    let others_lead = list.iter().any(|info| info.role == Role::Leader);
    others_lead && list.iter().any(|info| info.id == own)
}

/// What lets others join through this server, and what its token is changed by; makes the token where there is none.
///
/// # Errors
///
/// Where the token cannot be read or written.
pub(crate) fn door(
    config: &Config,
    identities: &Identities,
    members: &Members,
    cluster: &str,
) -> anyhow::Result<(Door, Tokens)> {
    let taken = watch::Sender::new(token(&config.state_dir, identities)?);
    let token = taken.subscribe();
    let tokens = Tokens {
        authority: Arc::clone(&identities.authority),
        key: config.state_dir.join(AUTHORITY_KEY),
        file: config.state_dir.join(TOKEN),
        taken,
    };
    let (folder, members, cluster) = (config.state_dir.clone(), members.clone(), cluster.to_owned());
    let bundle = move || {
        let files = FILES
            .iter()
            .map(|name| Ok(((*name).to_owned(), std::fs::read_to_string(folder.join(name))?)));
        Ok(Bundle {
            cluster: cluster.clone(),
            from: members.own_id(),
            members: members
                .list()
                .into_iter()
                .map(|info| (info.id, info.peer))
                .collect(),
            files: files.collect::<io::Result<_>>()?,
        })
    };
    let door = Door {
        token,
        bundle: Arc::new(bundle),
    };
    Ok((door, tokens))
}

fn token(folder: &Path, identities: &Identities) -> anyhow::Result<JoinToken> {
    let path = folder.join(TOKEN);
    let what = || format!("the token {} with which other servers join", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) => JoinToken::parse(&text).with_context(what),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = JoinToken::new(&identities.authority.certificate_der()?, &secret());
            write_private(&path, &format!("{}\n", token.reveal())).with_context(what)?;
            Ok(token)
        }
        Err(error) => Err(error).with_context(what),
    }
}

/// 128 bits and more, from the thread's generator, which is cryptographically secure.
fn secret() -> String {
    let mut rng = rand::rng();
    let draw = |_| char::from_digit(rng.random_range(0..36), 36).unwrap_or('0');
    (0..32).map(draw).collect()
}
