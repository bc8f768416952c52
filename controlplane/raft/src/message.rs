//! What servers ask each other. Every message is one frame of bytes, whatever carries it.

use bytes::Bytes;
use controlplane_store::codec::{DecodeError, Reader, Writer};
use controlplane_store::wire::{read_outcome, read_txn, write_outcome, write_txn};
use controlplane_store::{Outcome, Revision, Txn};
use openraft::SnapshotMeta;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};

use crate::types::{Peer, ServerId, Types, Vote};
use crate::wire::{
    read_entry, read_log_id, read_peer, read_stored_membership, read_vote, write_entry, write_log_id,
    write_peer, write_stored_membership, write_vote,
};

/// Version of the messages; the first byte of each.
const VERSION: u8 = 1;
/// Longest frame: an entry is at most a transaction of 8 MiB and what shares its group.
pub const MAX_FRAME: usize = 24 << 20;

/// Asked of another server.
#[derive(Debug)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<ServerId>),
    Chunk(Chunk),
    /// Transactions for the leader to decide.
    Forward(Vec<Txn>),
    /// Up to where must one have applied so that its reads are up to date?
    ReadIndex,
    /// Stand for election now: the leader is about to leave.
    Elect,
    Change(Change),
    /// Is there space for writes? The leader's disk is full.
    Room,
}

/// Whether `bytes` can be read as a request and as a reply; for those who try all kinds of bytes.
#[must_use]
pub fn can_read_message(bytes: &[u8]) -> (bool, bool) {
    (Request::decode(bytes).is_ok(), Reply::decode(bytes).is_ok())
}

/// A piece of a snapshot's file.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta<ServerId, Peer>,
    pub(crate) offset: u64,
    pub(crate) data: Bytes,
    pub(crate) done: bool,
}

/// A change to who the members are, for the leader to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A server joins, without a vote at first.
    Add(ServerId, Peer),
    /// A server that has caught up gets a vote.
    Promote(ServerId),
    /// A server is not a member any more.
    Remove(ServerId),
    /// A server that has a vote and has caught up is to lead from now on.
    HandOver(ServerId),
}

/// What was answered.
#[derive(Debug)]
pub(crate) enum Reply {
    Append(AppendEntriesResponse<ServerId>),
    Vote(VoteResponse<ServerId>),
    /// To a chunk, and to a whole snapshot after the last.
    Chunk(Vote),
    /// The outcomes, and a revision at which they show.
    Forward(Revision, Vec<Result<Outcome, Refusal>>),
    ReadIndex(u64),
    Done,
    /// Whoever was asked does not lead.
    NotLeading,
    /// It could not be done, in words.
    Failed(String),
}

/// Why a forwarded transaction has no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing was changed; the disk was full where the flag says so.
    NotWritten {
        full: bool,
        why: String,
    },
    Unknown(String),
    Closed,
    NoLeader,
    /// The transaction breaks a rule, in words.
    Invalid(String),
}

impl Request {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::default();
        out.u8(VERSION);
        match self {
            Self::Append(append) => write_append(&mut out, append),
            Self::Vote(vote) => {
                out.u8(2);
                write_vote(&mut out, &vote.vote);
                out.option(vote.last_log_id.as_ref(), write_log_id);
            }
            Self::Chunk(chunk) => write_chunk(&mut out, chunk),
            Self::Forward(txns) => {
                out.u8(4);
                out.length(txns.len());
                txns.iter().for_each(|txn| write_txn(&mut out, txn));
            }
            Self::ReadIndex => out.u8(5),
            Self::Elect => out.u8(6),
            Self::Change(change) => write_change(&mut out, change),
            Self::Room => out.u8(8),
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = versioned(bytes)?;
        let request = match reader.u8()? {
            1 => Self::Append(read_append(&mut reader)?),
            2 => Self::Vote(VoteRequest {
                vote: read_vote(&mut reader)?,
                last_log_id: reader.option(read_log_id)?,
            }),
            3 => Self::Chunk(read_chunk(&mut reader)?),
            4 => Self::Forward(reader.list(read_txn)?),
            5 => Self::ReadIndex,
            6 => Self::Elect,
            7 => Self::Change(read_change(&mut reader)?),
            8 => Self::Room,
            found => return Err(DecodeError::Tag { found }),
        };
        reader.end()?;
        Ok(request)
    }
}

fn versioned(bytes: &[u8]) -> Result<Reader<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        VERSION => Ok(reader),
        found => Err(DecodeError::Version { found }),
    }
}

fn write_append(out: &mut Writer, append: &AppendEntriesRequest<Types>) {
    out.u8(1);
    write_vote(out, &append.vote);
    out.option(append.prev_log_id.as_ref(), write_log_id);
    out.option(append.leader_commit.as_ref(), write_log_id);
    out.length(append.entries.len());
    append.entries.iter().for_each(|entry| write_entry(out, entry));
}

fn read_append(reader: &mut Reader<'_>) -> Result<AppendEntriesRequest<Types>, DecodeError> {
    Ok(AppendEntriesRequest {
        vote: read_vote(reader)?,
        prev_log_id: reader.option(read_log_id)?,
        leader_commit: reader.option(read_log_id)?,
        entries: reader.list(read_entry)?,
    })
}

fn write_chunk(out: &mut Writer, chunk: &Chunk) {
    out.u8(3);
    write_vote(out, &chunk.vote);
    out.option(chunk.meta.last_log_id.as_ref(), write_log_id);
    write_stored_membership(out, &chunk.meta.last_membership);
    out.text(&chunk.meta.snapshot_id);
    out.u64(chunk.offset);
    out.bytes(&chunk.data);
    out.u8(u8::from(chunk.done));
}

fn read_chunk(reader: &mut Reader<'_>) -> Result<Chunk, DecodeError> {
    Ok(Chunk {
        vote: read_vote(reader)?,
        meta: SnapshotMeta {
            last_log_id: reader.option(read_log_id)?,
            last_membership: read_stored_membership(reader)?,
            snapshot_id: reader.text()?.to_owned(),
        },
        offset: reader.u64()?,
        data: Bytes::copy_from_slice(reader.bytes()?),
        done: flag(reader)?,
    })
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(DecodeError::Tag { found }),
    }
}

fn write_change(out: &mut Writer, change: &Change) {
    out.u8(7);
    match change {
        Change::Add(id, peer) => {
            out.u8(0);
            out.u64(*id);
            write_peer(out, peer);
        }
        Change::Promote(id) => {
            out.u8(1);
            out.u64(*id);
        }
        Change::Remove(id) => {
            out.u8(2);
            out.u64(*id);
        }
        Change::HandOver(id) => {
            out.u8(3);
            out.u64(*id);
        }
    }
}

fn read_change(reader: &mut Reader<'_>) -> Result<Change, DecodeError> {
    match reader.u8()? {
        0 => Ok(Change::Add(reader.u64()?, read_peer(reader)?)),
        1 => Ok(Change::Promote(reader.u64()?)),
        2 => Ok(Change::Remove(reader.u64()?)),
        3 => Ok(Change::HandOver(reader.u64()?)),
        found => Err(DecodeError::Tag { found }),
    }
}

impl Reply {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::default();
        out.u8(VERSION);
        match self {
            Self::Append(append) => {
                out.u8(1);
                write_appended(&mut out, append);
            }
            Self::Vote(vote) => {
                out.u8(2);
                write_vote(&mut out, &vote.vote);
                out.u8(u8::from(vote.vote_granted));
                out.option(vote.last_log_id.as_ref(), write_log_id);
            }
            Self::Chunk(vote) => {
                out.u8(3);
                write_vote(&mut out, vote);
            }
            Self::Forward(revision, outcomes) => {
                out.u8(4);
                out.u64(revision.get());
                out.length(outcomes.len());
                outcomes
                    .iter()
                    .for_each(|outcome| write_answer(&mut out, outcome));
            }
            Self::ReadIndex(index) => {
                out.u8(5);
                out.u64(*index);
            }
            Self::Done => out.u8(6),
            Self::NotLeading => out.u8(7),
            Self::Failed(why) => {
                out.u8(8);
                out.text(why);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = versioned(bytes)?;
        let reply = match reader.u8()? {
            1 => Self::Append(read_appended(&mut reader)?),
            2 => Self::Vote(VoteResponse {
                vote: read_vote(&mut reader)?,
                vote_granted: flag(&mut reader)?,
                last_log_id: reader.option(read_log_id)?,
            }),
            3 => Self::Chunk(read_vote(&mut reader)?),
            4 => Self::Forward(reader.u64()?.into(), reader.list(read_answer)?),
            5 => Self::ReadIndex(reader.u64()?),
            6 => Self::Done,
            7 => Self::NotLeading,
            8 => Self::Failed(reader.text()?.to_owned()),
            found => return Err(DecodeError::Tag { found }),
        };
        reader.end()?;
        Ok(reply)
    }
}

fn write_appended(out: &mut Writer, append: &AppendEntriesResponse<ServerId>) {
    match append {
        AppendEntriesResponse::Success => out.u8(0),
        AppendEntriesResponse::PartialSuccess(matching) => {
            out.u8(1);
            out.option(matching.as_ref(), write_log_id);
        }
        AppendEntriesResponse::Conflict => out.u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.u8(3);
            write_vote(out, vote);
        }
    }
}

fn read_appended(reader: &mut Reader<'_>) -> Result<AppendEntriesResponse<ServerId>, DecodeError> {
    match reader.u8()? {
        0 => Ok(AppendEntriesResponse::Success),
        1 => Ok(AppendEntriesResponse::PartialSuccess(reader.option(read_log_id)?)),
        2 => Ok(AppendEntriesResponse::Conflict),
        3 => Ok(AppendEntriesResponse::HigherVote(read_vote(reader)?)),
        found => Err(DecodeError::Tag { found }),
    }
}

fn write_answer(out: &mut Writer, answer: &Result<Outcome, Refusal>) {
    match answer {
        Ok(outcome) => {
            out.u8(0);
            write_outcome(out, outcome);
        }
        Err(Refusal::NotWritten { full, why }) => {
            out.u8(if *full { 1 } else { 2 });
            out.text(why);
        }
        Err(Refusal::Unknown(why)) => {
            out.u8(3);
            out.text(why);
        }
        Err(Refusal::Closed) => out.u8(4),
        Err(Refusal::NoLeader) => out.u8(5),
        Err(Refusal::Invalid(why)) => {
            out.u8(6);
            out.text(why);
        }
    }
}

fn read_answer(reader: &mut Reader<'_>) -> Result<Result<Outcome, Refusal>, DecodeError> {
    Ok(match reader.u8()? {
        0 => Ok(read_outcome(reader)?),
        tag @ (1 | 2) => Err(Refusal::NotWritten {
            full: tag == 1,
            why: reader.text()?.to_owned(),
        }),
        3 => Err(Refusal::Unknown(reader.text()?.to_owned())),
        4 => Err(Refusal::Closed),
        5 => Err(Refusal::NoLeader),
        6 => Err(Refusal::Invalid(reader.text()?.to_owned())),
        found => return Err(DecodeError::Tag { found }),
    })
}
