//! Handing over: a leader that stops, whose disk is full or whose state is damaged, has another server elected.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use controlplane_store::Replication;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::member::{Member, peer_of};
use crate::members::{self, CLOSE, MemberInfo, Role};
use crate::message::{Reply, Request};
use crate::server::{ELECTION, HEARTBEAT};
use crate::types::{Metrics, Peer, ServerId};

/// How long it may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// Space that a leader must have, and that one who takes over must have several times: those who have just enough do not
/// hand over to each other for ever.
const ROOM: usize = 64 << 10;
const ROOM_OF_HEIR: usize = 8 << 20;

/// Hands over for good, where this server leads.
pub(crate) async fn leave(member: &Member) {
    let Some((heir, peer)) = heirs(&member.metrics()).into_iter().next() else {
        return;
    };
    tell(heir, hand_over(member, heir, &peer).await);
}

fn tell(heir: ServerId, handed: Result<(), String>) {
    match handed {
        Ok(()) => info!(heir, "another server leads now"),
        Err(why) => warn!(heir, why, "no other server has taken over"),
    }
}

/// Has the member `id` lead, as an operator asks the leader to; it leads on where that fails.
pub(crate) async fn to(member: &Member, metrics: &Metrics, id: ServerId) -> Result<(), String> {
    if id == member.id {
        return Ok(());
    }
    let heir = members::list(metrics).into_iter().find(|info| info.id == id);
    let heir = may_lead(heir, id)?;
    let _silent = Silence(member);
    hand_over(member, id, &heir.peer).await
}

fn may_lead(heir: Option<MemberInfo>, id: ServerId) -> Result<MemberInfo, String> {
    let heir = heir.ok_or_else(|| format!("server {id} is not a member"))?;
    let name = &heir.peer.name;
    match (heir.role, heir.behind) {
        (Role::Learner, _) => Err(format!(
            "server {name} has no vote yet, and only one that votes can lead"
        )),
        (_, Some(behind)) if behind <= CLOSE => Ok(heir),
        (_, behind) => Err(format!(
            "server {name} has not caught up: it is {} entries behind",
            behind.map_or("all".to_owned(), |behind| behind.to_string())
        )),
    }
}

/// However it ends, this member takes part again.
struct Silence<'a>(&'a Member);

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        stay(self.0);
    }
}

/// Hands over where this server leads and has no space for writes, to one that has; then it follows.
pub(crate) async fn leave_to_one_with_space(member: &Member) {
    if member.check_room(ROOM).is_ok() || !member.leading() {
        return;
    }
    for (heir, peer) in heirs(&member.metrics()) {
        let asked = member
            .network
            .ask(heir, &peer, &Request::Room, HEARTBEAT * 2)
            .await;
        if matches!(asked, Ok(Reply::Done)) {
            warn!(heir, "the disk is full, another server is to lead");
            tell(heir, hand_over(member, heir, &peer).await);
            stay(member);
            return;
        }
    }
}

/// Hands over while the state on disk is damaged, and stands for election only once it is whole again.
pub(crate) async fn step_aside(member: Arc<Member>) {
    let mut damaged = member.health.damaged();
    // An error means that the server has gone.
    while damaged.wait_for(|damaged| *damaged).await.is_ok() {
        member.raft.runtime_config().elect(false);
        leave(&member).await;
        let mended = damaged.wait_for(|damaged| !*damaged).await.is_ok();
        member.raft.runtime_config().elect(true);
        stay(&member);
        if !mended {
            return;
        }
    }
}

/// Takes part again as if it had not handed over.
fn stay(member: &Member) {
    member.raft.runtime_config().heartbeat(true);
    member.leaving.store(false, Ordering::SeqCst);
    member.tell_whether_it_leads();
}

/// What a server that might take over answers when asked for its space.
pub(crate) fn room_for_more(member: &Member) -> Reply {
    match member.check_room(ROOM_OF_HEIR) {
        Ok(()) => Reply::Done,
        Err(_) => Reply::Failed("the disk is full here, too".to_owned()),
    }
}

async fn hand_over(member: &Member, heir: ServerId, peer: &Peer) -> Result<(), String> {
    match timeout(DEADLINE, have_elected(member, heir, peer)).await {
        Ok(elected) => elected,
        Err(_) => Err(format!(
            "server {} did not take over within {} s",
            peer.name,
            DEADLINE.as_secs()
        )),
    }
}

/// Has `heir` elected. Votes are refused while a leader was heard of a moment ago, so this one first falls silent for that
/// long.
async fn have_elected(member: &Member, heir: ServerId, peer: &Peer) -> Result<(), String> {
    member.leaving.store(true, Ordering::SeqCst);
    member.tell_whether_it_leads();
    member.raft.runtime_config().heartbeat(false);
    tokio::time::sleep(ELECTION.1 + HEARTBEAT).await;
    let asked = member
        .network
        .ask(heir, peer, &Request::Elect, HEARTBEAT * 2)
        .await;
    asked.map_err(|error| error.to_string())?;
    let mut metrics = member.raft.server_metrics();
    let taken = metrics
        .wait_for(|now| now.current_leader.is_some_and(|leader| leader != member.id))
        .await;
    taken.map(drop).map_err(|error| error.to_string())
}

/// The other voters, where this one leads, the one that is least behind first.
fn heirs(metrics: &Metrics) -> Vec<(ServerId, Peer)> {
    let voters: Vec<ServerId> = metrics.membership_config.voter_ids().collect();
    let Some(replication) = metrics.replication.as_ref() else {
        return Vec::new();
    };
    let mut others: Vec<_> = replication
        .iter()
        .filter(|(id, _)| **id != metrics.id && voters.contains(id))
        .collect();
    others.sort_by_key(|(_, matching)| std::cmp::Reverse(**matching));
    others
        .into_iter()
        .filter_map(|(id, _)| Some((*id, peer_of(metrics, *id)?)))
        .collect()
}
