//! How the parts of the log and of messages are encoded.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use controlplane_store::Command;
use controlplane_store::codec::{DecodeError, Reader, Writer};
use openraft::{EntryPayload, LeaderId};

use crate::types::{Entry, LogId, Membership, Payload, Peer, StoredMembership, Vote};

/// Version of what is kept on disk here: entries, positions, votes.
const VERSION: u8 = 1;

pub(crate) fn write_log_id(out: &mut Writer, id: &LogId) {
    out.u64(id.leader_id.term);
    out.u64(id.leader_id.node_id);
    out.u64(id.index);
}

pub(crate) fn read_log_id(reader: &mut Reader<'_>) -> Result<LogId, DecodeError> {
    let leader = LeaderId::new(reader.u64()?, reader.u64()?);
    Ok(LogId::new(leader, reader.u64()?))
}

pub(crate) fn write_vote(out: &mut Writer, vote: &Vote) {
    out.u64(vote.leader_id.term);
    out.u64(vote.leader_id.node_id);
    out.u8(u8::from(vote.committed));
}

pub(crate) fn read_vote(reader: &mut Reader<'_>) -> Result<Vote, DecodeError> {
    let (term, node) = (reader.u64()?, reader.u64()?);
    match reader.u8()? {
        0 => Ok(Vote::new(term, node)),
        1 => Ok(Vote::new_committed(term, node)),
        found => Err(DecodeError::Tag { found }),
    }
}

pub(crate) fn write_peer(out: &mut Writer, peer: &Peer) {
    out.text(&peer.name);
    out.text(&peer.address);
    out.text(&peer.api);
}

pub(crate) fn read_peer(reader: &mut Reader<'_>) -> Result<Peer, DecodeError> {
    Ok(Peer {
        name: reader.text()?.to_owned(),
        address: reader.text()?.to_owned(),
        api: reader.text()?.to_owned(),
    })
}

fn write_membership(out: &mut Writer, membership: &Membership) {
    let configs = membership.get_joint_config();
    out.length(configs.len());
    for config in configs {
        out.length(config.len());
        config.iter().for_each(|id| out.u64(*id));
    }
    let nodes: Vec<_> = membership.nodes().collect();
    out.length(nodes.len());
    for (id, peer) in nodes {
        out.u64(*id);
        write_peer(out, peer);
    }
}

fn read_membership(reader: &mut Reader<'_>) -> Result<Membership, DecodeError> {
    let configs = reader.list(|reader| {
        let ids = reader.list(Reader::u64)?;
        Ok(ids.into_iter().collect::<BTreeSet<_>>())
    })?;
    let nodes = reader.list(|reader| Ok((reader.u64()?, read_peer(reader)?)))?;
    Ok(Membership::new(
        configs,
        nodes.into_iter().collect::<BTreeMap<_, _>>(),
    ))
}

pub(crate) fn write_stored_membership(out: &mut Writer, stored: &StoredMembership) {
    out.option(stored.log_id().as_ref(), write_log_id);
    write_membership(out, stored.membership());
}

pub(crate) fn read_stored_membership(reader: &mut Reader<'_>) -> Result<StoredMembership, DecodeError> {
    let log_id = reader.option(read_log_id)?;
    Ok(StoredMembership::new(log_id, read_membership(reader)?))
}

pub(crate) fn write_entry(out: &mut Writer, entry: &Entry) {
    write_log_id(out, &entry.log_id);
    match &entry.payload {
        EntryPayload::Blank => out.u8(0),
        EntryPayload::Normal(payload) => {
            out.u8(1);
            payload.command().write(out);
        }
        EntryPayload::Membership(membership) => {
            out.u8(2);
            write_membership(out, membership);
        }
    }
}

pub(crate) fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    let log_id = read_log_id(reader)?;
    let payload = match reader.u8()? {
        0 => EntryPayload::Blank,
        1 => EntryPayload::Normal(Payload::of_others(Command::read(reader)?)),
        2 => EntryPayload::Membership(read_membership(reader)?),
        found => return Err(DecodeError::Tag { found }),
    };
    Ok(Entry { log_id, payload })
}

/// Bytes of keys and values that `entry` carries.
pub(crate) fn payload_size(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(payload) => payload.command().size(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

/// The record of the log that holds `entry`.
pub(crate) fn encode_entry(entry: &Entry) -> Bytes {
    // Keys and values are all but a few bytes of a large entry.
    let size = payload_size(entry);
    let mut out = Writer::with_capacity(size + size / 8 + 64);
    out.u8(VERSION);
    write_entry(&mut out, entry);
    out.finish()
}

/// Reads back what [`encode_entry`] wrote.
pub(crate) fn decode_entry(record: &[u8]) -> Result<Entry, DecodeError> {
    let mut reader = versioned(record)?;
    let entry = read_entry(&mut reader)?;
    reader.end()?;
    Ok(entry)
}

fn versioned(bytes: &[u8]) -> Result<Reader<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        VERSION => Ok(reader),
        found => Err(DecodeError::Version { found }),
    }
}

/// How far the state on disk has come in the log, and who the members were then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

impl Position {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        out.option(self.applied.as_ref(), write_log_id);
        write_stored_membership(&mut out, &self.membership);
        out.finish().to_vec()
    }

    /// Empty bytes are the position of a state that was never behind a log.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = versioned(bytes)?;
        let position = Self {
            applied: reader.option(read_log_id)?,
            membership: read_stored_membership(&mut reader)?,
        };
        reader.end()?;
        Ok(position)
    }
}

/// What the log keeps beside its records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
}

impl Meta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        out.option(self.vote.as_ref(), write_vote);
        out.option(self.purged.as_ref(), write_log_id);
        out.finish().to_vec()
    }

    /// Empty bytes are those of a new log.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = versioned(bytes)?;
        let meta = Self {
            vote: reader.option(read_vote)?,
            purged: reader.option(read_log_id)?,
        };
        reader.end()?;
        Ok(meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use controlplane_store::{Decided, Key, Op};
    use proptest::prelude::*;

    fn log_ids() -> impl Strategy<Value = LogId> {
        any::<(u64, u64, u64)>().prop_map(|(term, node, index)| LogId::new(LeaderId::new(term, node), index))
    }

    fn memberships() -> impl Strategy<Value = Membership> {
        let peer = any::<(String, String)>().prop_map(|(name, address)| Peer {
            api: name.clone(),
            name,
            address,
        });
        let nodes = proptest::collection::btree_map(0..9u64, peer, 1..5);
        nodes.prop_map(|nodes| Membership::new(vec![nodes.keys().copied().take(2).collect()], nodes))
    }

    fn entries() -> impl Strategy<Value = Entry> {
        let command = (any::<u64>(), "[a-z]{1,9}").prop_map(|(at, name)| Command {
            at,
            first: 7.into(),
            compact: 3.into(),
            txns: vec![Decided {
                actor: "someone".into(),
                ops: vec![Op::Delete {
                    key: Key::parse(&format!("/registry/{name}")).unwrap(),
                }],
            }],
        });
        let payload = prop_oneof![
            Just(EntryPayload::Blank),
            command.prop_map(|command| EntryPayload::Normal(Payload::new(command))),
            memberships().prop_map(EntryPayload::Membership),
        ];
        (log_ids(), payload).prop_map(|(log_id, payload)| Entry { log_id, payload })
    }

    proptest! {
        #[test]
        fn entries_read_back_as_they_were_written(entry in entries()) {
            let bytes = encode_entry(&entry);
            let read = decode_entry(&bytes).unwrap();
            prop_assert_eq!(read.log_id, entry.log_id);
            prop_assert_eq!(encode_entry(&read), bytes);
        }

        #[test]
        fn positions_and_meta_read_back_as_they_were_written(
            applied in proptest::option::of(log_ids()), membership in memberships(), committed: bool,
        ) {
            let position = Position { applied, membership: StoredMembership::new(applied, membership) };
            prop_assert_eq!(&Position::decode(&position.encode()).unwrap(), &position);
            let vote = Some(Vote { leader_id: LeaderId::new(3, 4), committed });
            let meta = Meta { vote, purged: applied };
            prop_assert_eq!(Meta::decode(&meta.encode()).unwrap(), meta);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut versioned = vec![VERSION];
            versioned.extend(&bytes);
            for bytes in [&bytes, &versioned] {
                decode_entry(bytes).ok();
                Position::decode(bytes).ok();
                Meta::decode(bytes).ok();
            }
        }
    }
}
