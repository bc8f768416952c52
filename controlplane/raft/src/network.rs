//! The network as the consensus library wants it, over whatever carries frames.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use controlplane_store::{Cause, Pending, StateError};
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, RaftNetwork, RaftNetworkFactory, Snapshot};
use tokio::time::Instant;

use crate::keeper::Keeper;
use crate::message::{Chunk, Reply, Request};
use crate::state_machine::described;
use crate::types::{Peer, ServerId, StorageIoError, Types, Vote};
use crate::wire::Position;

/// Bytes of a snapshot sent at once.
const CHUNK: usize = 1 << 20;
/// How long a peer may take for one piece of a snapshot; the last includes taking the snapshot over.
const CHUNK_DEADLINE: Duration = Duration::from_secs(10);
const INSTALL_DEADLINE: Duration = Duration::from_secs(120);
/// How soon a peer that cannot be reached is tried again.
const BACKOFF: Duration = Duration::from_millis(200);

/// Carries frames between servers. [`Service::handle`](crate::Service::handle) is the other end.
pub trait Transport: Debug + Send + Sync + 'static {
    /// Sends `request` to `peer`, which must be the server `to`, and returns its reply.
    fn call(
        &self,
        to: ServerId,
        peer: &Peer,
        request: Bytes,
        deadline: Duration,
    ) -> Pending<'_, Result<Bytes, TransportError>>;
}

/// The network of a server that has no peers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNetwork;

impl Transport for NoNetwork {
    fn call(
        &self,
        to: ServerId,
        _: &Peer,
        _: Bytes,
        _: Duration,
    ) -> Pending<'_, Result<Bytes, TransportError>> {
        let cause = Cause::from("this server has no network");
        Box::pin(async move { Err(TransportError::NotSent { to, cause }) })
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The request did not reach the peer.
    #[error("reach server {to}")]
    NotSent {
        /// The peer.
        to: ServerId,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The request may have reached the peer.
    #[error("hear from server {to}")]
    Broken {
        /// The peer.
        to: ServerId,
        /// Why.
        #[source]
        cause: Cause,
    },
}

impl TransportError {
    /// For a request that took longer than `deadline`.
    #[must_use]
    pub fn late(to: ServerId, deadline: Duration) -> Self {
        Self::Broken {
            to,
            cause: Cause::from(format!("no reply within {} ms", deadline.as_millis())),
        }
    }
}

/// What all connections of a server share.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    transport: Arc<dyn Transport>,
    keeper: Keeper,
    /// Where snapshots that are sent are made.
    folder: PathBuf,
    made: Arc<AtomicU64>,
    /// When each peer last answered.
    heard: Arc<Mutex<BTreeMap<ServerId, Instant>>>,
}

/// The way to one peer.
#[derive(Debug)]
pub(crate) struct Way {
    network: Network,
    to: ServerId,
    peer: Peer,
}

impl Network {
    pub(crate) fn new(transport: Arc<dyn Transport>, keeper: Keeper, folder: PathBuf) -> Self {
        Self {
            transport,
            keeper,
            folder,
            made: Arc::default(),
            heard: Arc::default(),
        }
    }

    /// Asks `to` one thing.
    pub(crate) async fn ask(
        &self,
        to: ServerId,
        peer: &Peer,
        request: &Request,
        deadline: Duration,
    ) -> Result<Reply, TransportError> {
        let call = self.transport.call(to, peer, request.encode(), deadline);
        let reply = match tokio::time::timeout(deadline, call).await {
            Ok(reply) => reply?,
            Err(_) => return Err(TransportError::late(to, deadline)),
        };
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(to, Instant::now());
        Reply::decode(&reply).map_err(|error| TransportError::Broken {
            to,
            cause: error.into(),
        })
    }
}

impl Network {
    /// How long ago `peer` last answered anything.
    pub(crate) fn heard(&self, peer: ServerId) -> Option<Duration> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&peer).map(Instant::elapsed)
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: ServerId, node: &Peer) -> Way {
        Way {
            network: self.clone(),
            to: target,
            peer: node.clone(),
        }
    }
}

type RpcError = RPCError<ServerId, Peer, RaftError<ServerId>>;
type SendError = StreamingError<Types, Fatal<ServerId>>;

fn rpc_error(error: &TransportError) -> RpcError {
    match error {
        TransportError::NotSent { .. } => RPCError::Unreachable(Unreachable::new(error)),
        TransportError::Broken { .. } => RPCError::Network(NetworkError::new(error)),
    }
}

/// An answer that does not belong to the question, or says that the peer has failed.
fn unexpected(to: ServerId, reply: Reply) -> TransportError {
    let cause = match reply {
        Reply::Failed(why) => Cause::from(why),
        other => Cause::from(format!("answered {other:?}")),
    };
    TransportError::NotSent { to, cause }
}

impl Way {
    async fn ask(&self, request: &Request, deadline: Duration) -> Result<Reply, TransportError> {
        self.network.ask(self.to, &self.peer, request, deadline).await
    }

    async fn send(&self, vote: Vote, file: &Path) -> Result<SnapshotResponse<ServerId>, SendError> {
        let unreadable = |error: &dyn ToString| -> SendError {
            let cause = AnyError::error(error.to_string());
            openraft::StorageError::from(StorageIoError::read_snapshot(None, cause)).into()
        };
        let made = self.network.keeper.snapshot(file.to_owned()).await;
        let position = made
            .and_then(|bytes| Position::decode(&bytes).map_err(|error| StateError::Corrupt(error.into())))
            .map_err(|error| unreadable(&error))?;
        // Blocks for a piece at a time; a runtime under test has no other thread to read on.
        let mut source = File::open(file).map_err(|error| unreadable(&error))?;
        let mut offset = 0;
        loop {
            let data = read_chunk(&mut source).map_err(|error| unreadable(&error))?;
            let (length, done) = (data.len() as u64, data.len() < CHUNK);
            let chunk = Request::Chunk(Chunk {
                vote,
                meta: described(&position),
                offset,
                data,
                done,
            });
            let deadline = if done { INSTALL_DEADLINE } else { CHUNK_DEADLINE };
            let higher = match self.ask(&chunk, deadline).await {
                Ok(Reply::Chunk(theirs)) => theirs,
                Ok(other) => return Err(Unreachable::new(&unexpected(self.to, other)).into()),
                Err(error) => return Err(Unreachable::new(&error).into()),
            };
            if done || higher > vote {
                return Ok(SnapshotResponse::new(higher));
            }
            offset += length;
        }
    }
}

fn read_chunk(source: &mut File) -> io::Result<Bytes> {
    let mut data = Vec::with_capacity(CHUNK);
    source.take(CHUNK as u64).read_to_end(&mut data)?;
    Ok(Bytes::from(data))
}

impl RaftNetwork<Types> for Way {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<ServerId>, RpcError> {
        match self.ask(&Request::Append(rpc), option.hard_ttl()).await {
            Ok(Reply::Append(reply)) => Ok(reply),
            Ok(other) => Err(rpc_error(&unexpected(self.to, other))),
            Err(error) => Err(rpc_error(&error)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<ServerId>,
        option: RPCOption,
    ) -> Result<VoteResponse<ServerId>, RpcError> {
        match self.ask(&Request::Vote(rpc), option.hard_ttl()).await {
            Ok(Reply::Vote(reply)) => Ok(reply),
            Ok(other) => Err(rpc_error(&unexpected(self.to, other))),
            Err(error) => Err(rpc_error(&error)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        _promised: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<ServerId>, SendError> {
        let number = self.network.made.fetch_add(1, Ordering::SeqCst);
        let file = self.network.folder.join(format!("outgoing-{number}"));
        let sent = tokio::select! {
            // Dropped when cancelled: the peer forgets what it has received at the next snapshot.
            sent = self.send(vote, &file) => sent,
            // Cancel-safe: the library's own.
            closed = cancel => Err(closed.into()),
        };
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(error = &error as &dyn std::error::Error, file = %file.display(), "remove a snapshot");
        }
        sent
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}
