use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ServerState;
use tracing::{info, warn};

use crate::handing;
use crate::member::Member;
use crate::members::{self, CLOSE, Role};
use crate::message::{Change, Reply};
use crate::types::{Metrics, Payload, ServerMetrics};

/// How often learners and the log's size are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of log after which the state is made durable and the log purged, however few entries they are.
const LOG_BYTES: usize = 128 << 20;
/// Entries that are kept for peers that are a little behind when the log is purged for its bytes.
const KEEP_FOR_PEERS: u64 = 64;

/// Follows what the consensus says of this member until it ends, and notes when it leads.
pub(crate) async fn watch(member: Arc<Member>) {
    let mut places = member.raft.server_metrics();
    loop {
        let now = places.borrow_and_update().clone();
        note_leading(&member, &now).await;
        member.tell_whether_it_leads();
        member.tell_of_a_change();
        let leads_others =
            now.state == ServerState::Leader && now.membership_config.voter_ids().nth(1).is_some();
        let changed = tokio::select! {
            // Cancel-safe: a value counts as seen only once `changed` returns.
            changed = places.changed() => changed,
            // Dropped, it has told all there was.
            () = look_for_a_majority(&member), if leads_others => break,
        };
        if changed.is_err() {
            break;
        }
    }
    member.leading_term.store(0, Ordering::SeqCst);
    member.tell_whether_it_leads();
}

/// Whether a majority still answers shows in what changes all the time; returns when the consensus ends.
async fn look_for_a_majority(member: &Member) {
    let mut metrics = member.raft.metrics();
    while metrics.changed().await.is_ok() {
        member.tell_whether_it_leads();
    }
}

/// Gives votes to learners that have caught up, ends changes of the members that were interrupted, and keeps the log from
/// growing, until the consensus ends. On its own, since a change may take long, and the log changes all the time.
pub(crate) async fn keep_house(member: Arc<Member>) {
    let work = async {
        loop {
            tokio::time::sleep(EVERY).await;
            look_around(&member).await;
        }
    };
    tokio::select! {
        // Cancel-safe, as it says.
        () = member.ended() => {}
        // What is dropped here can do nothing more: the consensus has ended.
        () = work => {}
    }
}

/// A new leader has applied everything of those before it once an entry that it wrote itself is applied.
async fn note_leading(member: &Member, now: &ServerMetrics) {
    let term = now.vote.leader_id.term;
    if now.state != ServerState::Leader {
        if member.leading_term.swap(0, Ordering::SeqCst) != 0 {
            info!(term, "this server leads no more");
        }
        return;
    }
    if member.leading_term.load(Ordering::SeqCst) == term {
        return;
    }
    let mut places = member.raft.server_metrics();
    let lost = places.wait_for(|now| now.state != ServerState::Leader || now.vote.leader_id.term != term);
    let written = tokio::select! {
        // Dropped, it may yet be written, which changes nothing.
        written = member.raft.client_write(Payload::nothing()) => written,
        // Cancel-safe. The library never answers for an entry that a snapshot has replaced.
        _ = lost => return,
    };
    match written {
        Ok(written) if written.log_id.leader_id.term == term => {
            member.leading_term.store(term, Ordering::SeqCst);
            info!(term, "this server leads");
        }
        Ok(_) => {}
        Err(error) => info!(term, %error, "this server was elected and lost its place"),
    }
}

async fn look_around(member: &Arc<Member>) {
    let metrics = member.metrics();
    if member.log.since_purge() > LOG_BYTES {
        shorten_log(member, &metrics).await;
    }
    if metrics.state != ServerState::Leader {
        return;
    }
    handing::leave_to_one_with_space(member).await;
    if let Err(why) = members::finish_change(member, &metrics).await {
        warn!(
            why,
            "a change of the servers that was interrupted could not be ended"
        );
        return;
    }
    let caught_up = members::list(&metrics)
        .into_iter()
        .find(|info| info.role == Role::Learner && info.behind.is_some_and(|behind| behind <= CLOSE));
    if let Some(learner) = caught_up {
        match members::change_here(member, Change::Promote(learner.id)).await {
            Reply::Done => info!(
                server = learner.id,
                name = learner.peer.name,
                "server has caught up and votes now"
            ),
            other => warn!(server = learner.id, answer = ?other, "server could not be given a vote"),
        }
    }
}

async fn shorten_log(member: &Member, metrics: &Metrics) {
    let purge = metrics
        .snapshot
        .map_or(0, |id| id.index.saturating_sub(KEEP_FOR_PEERS));
    let raft = &member.raft;
    let triggered = async {
        raft.trigger().snapshot().await?;
        if metrics.purged.is_none_or(|purged| purged.index < purge) && purge > 0 {
            raft.trigger().purge_log(purge).await?;
        }
        Ok::<(), openraft::error::Fatal<u64>>(())
    };
    if let Err(error) = triggered.await {
        warn!(
            error = &error as &dyn std::error::Error,
            "the log could not be shortened"
        );
    }
}
