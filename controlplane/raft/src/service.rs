use std::sync::Arc;

use bytes::Bytes;
use controlplane_store::{Replication, Store, Txn};
use futures::future::join_all;
use openraft::Snapshot;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use tokio::sync::Mutex;
use tracing::{debug, warn};

use crate::handing;
use crate::member::{Member, peer_of};
use crate::members;
use crate::message::{Chunk, Refusal, Reply, Request};
use crate::receive::Incoming;
use crate::refusals::{Reason, Refusals};
use crate::types::{ServerId, SnapshotFile, Types};

/// What answers other servers. Clones share it.
#[derive(Debug, Clone)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    member: Arc<Member>,
    store: Store,
    incoming: Mutex<Incoming>,
    refusals: Arc<Refusals>,
}

impl Service {
    pub(crate) fn new(member: Arc<Member>, store: Store) -> Self {
        let incoming = Mutex::new(Incoming::into(&member.folder));
        Self(Arc::new(Inner {
            member,
            store,
            incoming,
            refusals: Arc::default(),
        }))
    }

    /// What was refused so far.
    #[must_use]
    pub fn refusals(&self) -> &Arc<Refusals> {
        &self.0.refusals
    }

    /// The reply to a request of the server `from`, whoever that proved to be.
    pub async fn handle(&self, from: ServerId, request: &[u8]) -> Bytes {
        let reply = match Request::decode(request) {
            Ok(request) => self.answer(from, request).await,
            Err(error) => {
                self.0.refusals.add(Reason::Malformed);
                warn!(
                    error = &error as &dyn std::error::Error,
                    from, "a peer's request cannot be read"
                );
                Reply::Failed(format!("the request cannot be read: {error}"))
            }
        };
        reply.encode()
    }

    async fn answer(&self, from: ServerId, request: Request) -> Reply {
        let member = &self.0.member;
        if self.is_stranger(from, &request) {
            self.0.refusals.add(Reason::NotMember);
            debug!(from, "a server that is not a member was refused");
            return Reply::Failed(format!("server {from} is not a member of this cluster"));
        }
        match request {
            Request::Append(append) => self.append(append).await,
            Request::Vote(vote) => self.vote(vote).await,
            Request::Chunk(chunk) => self.take(chunk).await,
            Request::Forward(txns) => self.commit(txns).await,
            Request::ReadIndex if member.metrics().current_leader == Some(member.id) => member
                .read_index()
                .await
                .map_or(Reply::NotLeading, Reply::ReadIndex),
            Request::ReadIndex => Reply::NotLeading,
            Request::Elect => match member.raft.trigger().elect().await {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Failed(error.to_string()),
            },
            Request::Change(change) => members::change_here(member, change).await,
            Request::Room => handing::room_for_more(member),
        }
    }

    async fn append(&self, append: AppendEntriesRequest<Types>) -> Reply {
        let member = &self.0.member;
        match member.raft.append_entries(append).await {
            Ok(reply) => {
                if !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
                    member.standing.is_led();
                }
                Reply::Append(reply)
            }
            Err(error) => Reply::Failed(error.to_string()),
        }
    }

    async fn vote(&self, vote: VoteRequest<ServerId>) -> Reply {
        let member = &self.0.member;
        let theirs = vote.last_log_id;
        match member.raft.vote(vote).await {
            Ok(reply) => {
                if !reply.vote_granted && reply.last_log_id > theirs {
                    member.standing.has_outdone();
                }
                Reply::Vote(reply)
            }
            Err(error) => Reply::Failed(error.to_string()),
        }
    }

    /// Whether the request is one that only members may make, and `from` is none as far as this server knows.
    fn is_stranger(&self, from: ServerId, request: &Request) -> bool {
        let metrics = self.0.member.metrics();
        let known = metrics.membership_config.voter_ids().next().is_some();
        let for_members = match request {
            Request::Vote(_) | Request::Forward(_) | Request::ReadIndex | Request::Elect | Request::Room => {
                true
            }
            // A new member learns from these who the members are.
            Request::Append(_) | Request::Chunk(_) | Request::Change(_) => false,
        };
        for_members && known && peer_of(&metrics, from).is_none()
    }

    async fn commit(&self, txns: Vec<Txn>) -> Reply {
        let inner = &self.0;
        if !inner.member.leading() {
            return Reply::NotLeading;
        }
        let outcomes = join_all(txns.into_iter().map(|txn| inner.store.commit(txn))).await;
        let outcomes = outcomes
            .into_iter()
            .map(|outcome| outcome.map_err(|error| Refusal::of(&error)));
        let outcomes = outcomes.collect();
        Reply::Forward(inner.member.replica.revision(), outcomes)
    }

    async fn take(&self, chunk: Chunk) -> Reply {
        let raft = &self.0.member.raft;
        let mine = self.0.member.metrics().vote;
        if mine > chunk.vote {
            return Reply::Chunk(mine);
        }
        // Held until the snapshot is taken over, so that no other overwrites its file.
        let mut incoming = self.0.incoming.lock().await;
        let file = match incoming.take(&chunk) {
            Ok(Some(file)) => file,
            Ok(None) => return Reply::Chunk(chunk.vote),
            Err(error) => return Reply::Failed(error.to_string()),
        };
        let snapshot = Snapshot {
            meta: chunk.meta,
            snapshot: Box::new(SnapshotFile(file)),
        };
        match raft.install_full_snapshot(chunk.vote, snapshot).await {
            Ok(reply) => Reply::Chunk(reply.vote),
            Err(error) => Reply::Failed(error.to_string()),
        }
    }
}
