//! Elections that another server began and cannot win.

use std::sync::Arc;

use openraft::ServerState;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::member::Member;
use crate::server::{ELECTION, HEARTBEAT};

/// What tells whether this server should stand where another stood in vain.
#[derive(Debug)]
pub(crate) struct Standing {
    /// When a leader was last heard of.
    led: watch::Sender<Option<Instant>>,
    /// Told when a server stood that lacks entries of this one's log.
    outdone: Notify,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            led: watch::Sender::new(None),
            outdone: Notify::new(),
        }
    }
}

impl Standing {
    /// Notes that a leader was heard of.
    pub(crate) fn is_led(&self) {
        self.led.send_replace(Some(Instant::now()));
    }

    /// Notes that a server stood that lacks entries of this one's log, and was refused.
    pub(crate) fn has_outdone(&self) {
        self.outdone.notify_one();
    }

    /// Whether no leader was heard of for as long as votes are refused for its sake.
    fn is_leaderless(&self) -> bool {
        self.led.borrow().is_none_or(|led| led.elapsed() > ELECTION.1)
    }
}

/// Stands for election wherever a server stood that lacks what this one has, until the consensus ends.
///
/// That server can only be refused, but the library waits for this one's own time, which may be a second later: whoever was
/// once behind in an election waits longer in the next, whether it is behind then or not.
pub(crate) async fn stand_in(member: Arc<Member>) {
    let work = async {
        loop {
            member.standing.outdone.notified().await;
            if may_stand(&member) {
                stand(&member).await;
            }
        }
    };
    tokio::select! {
        // Cancel-safe, as it says.
        () = member.ended() => {}
        // What is dropped here can do nothing more: the consensus has ended.
        () = work => {}
    }
}

/// A server that hands over, or whose state is damaged, leaves the lead to others.
fn may_stand(member: &Member) -> bool {
    let metrics = member.metrics();
    let votes = metrics.membership_config.voter_ids().any(|id| id == member.id);
    votes
        && metrics.state != ServerState::Leader
        && member.standing.is_leaderless()
        && !member.leaving.load(std::sync::atomic::Ordering::SeqCst)
        && !*member.health.damaged().borrow()
}

/// Stands, again where nobody leads soon after: the first time may be in the very term in which the other has its own vote.
async fn stand(member: &Member) {
    for _ in 0..2 {
        let mut places = member.raft.server_metrics();
        let before = places.borrow().vote.leader_id.term;
        if member.raft.trigger().elect().await.is_err() {
            return;
        }
        let leads = places.wait_for(|now| now.current_leader.is_some() && now.vote.leader_id.term > before);
        if timeout(HEARTBEAT, leads).await.is_ok() {
            return;
        }
    }
}
