//! Who the members are: list, add, promote, remove.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::{ChangeMembers, ServerState};
use tokio::time::timeout;

use crate::handing;
use crate::member::{Member, peer_of};
use crate::message::{Change, Reply, Request};
use crate::types::{Metrics, Peer, ServerId};

/// How long a change of the members may take.
const DEADLINE: Duration = Duration::from_secs(15);
/// Entries that a server may be behind to get a vote.
pub(crate) const CLOSE: u64 = 256;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It has a vote.
    Voter,
    /// It follows without a vote, until it has caught up.
    Learner,
}

/// A member as this server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its number.
    pub id: ServerId,
    /// How it is reached.
    pub peer: Peer,
    /// What it is.
    pub role: Role,
    /// Log entries that it is behind; known to the leader only.
    pub behind: Option<u64>,
    /// How long ago it last answered this server; `None` where it has not since this one started, and for itself.
    pub heard: Option<Duration>,
}

/// Why the members could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// *Retry*.
    #[error(
        "change the servers of the cluster: no server leads, a majority of them must be up and reach each other"
    )]
    NoLeader,
    /// In words, why not.
    #[error("change the servers of the cluster: {0}")]
    Refused(String),
}

/// The members that `metrics` tell of, by number.
pub(crate) fn list(metrics: &Metrics) -> Vec<MemberInfo> {
    let voters: BTreeSet<ServerId> = metrics.membership_config.voter_ids().collect();
    let last = metrics.last_log_index.unwrap_or(0);
    let behind = |id: &ServerId| {
        let matching = metrics.replication.as_ref()?.get(id)?;
        Some(last.saturating_sub(matching.map_or(0, |matching| matching.index)))
    };
    metrics
        .membership_config
        .nodes()
        .map(|(id, peer)| MemberInfo {
            id: *id,
            peer: peer.clone(),
            role: match (metrics.current_leader == Some(*id), voters.contains(id)) {
                (true, _) => Role::Leader,
                (false, true) => Role::Voter,
                (false, false) => Role::Learner,
            },
            behind: behind(id),
            heard: None,
        })
        .collect()
}

/// Has `change` carried out, here or by the leader.
pub(crate) async fn change(member: &Arc<Member>, change: Change) -> Result<(), ChangeError> {
    let metrics = member.metrics();
    let reply = match metrics.current_leader {
        None => return Err(ChangeError::NoLeader),
        Some(leader) if leader == member.id => change_here(member, change).await,
        Some(leader) => {
            let peer = peer_of(&metrics, leader).ok_or(ChangeError::NoLeader)?;
            let request = Request::Change(change);
            let asked = member.network.ask(leader, &peer, &request, DEADLINE);
            asked
                .await
                .map_err(|error| ChangeError::Refused(error.to_string()))?
        }
    };
    outcome(reply)
}

/// What a reply to a change means.
pub(crate) fn outcome(reply: Reply) -> Result<(), ChangeError> {
    match reply {
        Reply::Done => Ok(()),
        Reply::NotLeading => Err(ChangeError::NoLeader),
        Reply::Failed(why) => Err(ChangeError::Refused(why)),
        other => Err(ChangeError::Refused(format!("the leader answered {other:?}"))),
    }
}

/// Carries `change` out as the leader.
pub(crate) async fn change_here(member: &Arc<Member>, change: Change) -> Reply {
    let metrics = member.metrics();
    if metrics.state != ServerState::Leader {
        return Reply::NotLeading;
    }
    let finished = timeout(DEADLINE, finish_change(member, &metrics)).await;
    if !matches!(finished, Ok(Ok(()))) {
        return Reply::Failed("an earlier change of the servers has not ended; try again".to_owned());
    }
    let metrics = member.metrics();
    // A leader that was removed goes on until others know; the library asserts that it changes nothing more.
    let votes = metrics.membership_config.voter_ids().any(|id| id == member.id);
    if metrics.state != ServerState::Leader || !votes {
        return Reply::NotLeading;
    }
    let changed = async {
        match change {
            Change::Add(id, peer) => add(member, &metrics, id, peer).await,
            Change::Promote(id) => promote(member, &metrics, id).await,
            Change::Remove(id) => remove(member, &metrics, id).await,
            Change::HandOver(id) => handing::to(member, &metrics, id).await,
        }
    };
    match timeout(DEADLINE, changed).await {
        Ok(Ok(())) => Reply::Done,
        Ok(Err(why)) => Reply::Failed(why),
        Err(_) => Reply::Failed(
            "no majority of the servers has agreed in time; the change may yet take place".to_owned(),
        ),
    }
}

/// Ends a change that was interrupted half way, as by the loss of the leader: until then both the old and the new servers
/// must agree to everything.
pub(crate) async fn finish_change(member: &Member, metrics: &Metrics) -> Result<(), String> {
    let configs = metrics.membership_config.membership().get_joint_config();
    let [_, .., last] = configs.as_slice() else {
        return Ok(());
    };
    let to = ChangeMembers::ReplaceAllVoters(last.clone());
    // Only removals leave anybody out, and one that stayed as a learner would go on leading without a vote.
    changed(member.raft.change_membership(to, false).await)
}

async fn add(member: &Member, metrics: &Metrics, id: ServerId, peer: Peer) -> Result<(), String> {
    match peer_of(metrics, id) {
        Some(known) if known == peer => return Ok(()),
        Some(_) => {
            let moved = ChangeMembers::SetNodes(BTreeMap::from([(id, peer)]));
            return changed(member.raft.change_membership(moved, true).await);
        }
        None => {}
    }
    let same_address = |(_, known): (&ServerId, &Peer)| known.address == peer.address;
    if metrics.membership_config.nodes().any(same_address) {
        return Err(format!(
            "another server is known at {}: remove it before a new one takes its place",
            peer.address
        ));
    }
    forget_beginning(member).await?;
    changed(member.raft.add_learner(id, peer, false).await)
}

/// A new member must begin with a snapshot: what the cluster held before it had a log is in no entry. So the
/// beginning of the log is purged before any is added.
async fn forget_beginning(member: &Member) -> Result<(), String> {
    if member.metrics().purged.is_some() {
        return Ok(());
    }
    let raft = &member.raft;
    raft.trigger()
        .snapshot()
        .await
        .map_err(|error| error.to_string())?;
    let wait = |what| (raft.wait(Some(DEADLINE)), what);
    let (waiting, why) = wait("a durable state");
    let metrics = waiting
        .metrics(|metrics| metrics.snapshot.is_some(), why)
        .await
        .map_err(|error| error.to_string())?;
    let through = metrics.snapshot.map_or(0, |id| id.index);
    raft.trigger()
        .purge_log(through)
        .await
        .map_err(|error| error.to_string())?;
    let (waiting, why) = wait("a purged log");
    let purged = waiting.metrics(|metrics| metrics.purged.is_some(), why).await;
    purged.map(drop).map_err(|error| error.to_string())
}

async fn promote(member: &Member, metrics: &Metrics, id: ServerId) -> Result<(), String> {
    let info = list(metrics).into_iter().find(|info| info.id == id);
    match info {
        None => Err(format!("server {id} is not a member")),
        Some(info) if info.role != Role::Learner => Ok(()),
        Some(MemberInfo {
            behind: Some(behind), ..
        }) if behind <= CLOSE => {
            let voters = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
            changed(member.raft.change_membership(voters, true).await)
        }
        Some(info) => Err(format!(
            "server {id} ({}) has not caught up: it is {} entries behind",
            info.peer.name,
            info.behind.map_or("all".to_owned(), |behind| behind.to_string())
        )),
    }
}

async fn remove(member: &Member, metrics: &Metrics, id: ServerId) -> Result<(), String> {
    if peer_of(metrics, id).is_none() {
        return Err(format!("server {id} is not a member"));
    }
    let voters: BTreeSet<ServerId> = metrics.membership_config.voter_ids().collect();
    if !voters.contains(&id) {
        let gone = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
        return changed(member.raft.change_membership(gone, false).await);
    }
    if voters.len() == 1 {
        return Err("it is the only server with a vote; a cluster keeps one".to_owned());
    }
    let gone = ChangeMembers::RemoveVoters(BTreeSet::from([id]));
    changed(member.raft.change_membership(gone, false).await)
}

fn changed<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}
