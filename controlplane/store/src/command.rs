use std::sync::Arc;

use bytes::Bytes;

use crate::codec::{DecodeError, Reader, Writer};
use crate::{Key, Op, Revision, Value};

/// Version of the encoding of commands; the first byte of each.
const VERSION: u8 = 1;

/// One entry of the log: what the leader decided, which every member carries out alike.
///
/// It holds effects, not conditions: compares were decided before. A member that is not at the revision before
/// `first` changes nothing, so a command that a deposed leader left behind does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Unix time in seconds at which it was decided.
    pub at: u64,
    /// Revision of the first transaction.
    pub first: Revision,
    /// The transactions, one for each revision.
    pub txns: Vec<Decided>,
    /// History up to this revision is forgotten; one already forgotten changes nothing.
    pub compact: Revision,
}

/// A transaction whose compares held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Who asked for it.
    pub actor: Arc<str>,
    /// What it does; each key at most once.
    pub ops: Vec<Op>,
}

impl Command {
    /// Whether carrying it out would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.txns.is_empty() && self.compact == Revision::from(0)
    }

    /// Bytes of the keys and values that it carries.
    #[must_use]
    pub fn size(&self) -> usize {
        self.txns.iter().flat_map(|txn| &txn.ops).map(Op::size).sum()
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::default();
        self.write(&mut out);
        out.finish()
    }

    /// Appends its bytes to `out`.
    pub fn write(&self, out: &mut Writer) {
        out.u8(VERSION);
        out.u64(self.at);
        out.u64(self.first.get());
        out.u64(self.compact.get());
        out.length(self.txns.len());
        for txn in &self.txns {
            out.text(&txn.actor);
            out.length(txn.ops.len());
            txn.ops.iter().for_each(|op| write_op(out, op));
        }
    }

    /// Reads back what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// Names what is wrong with bytes that no version of this program wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let command = Self::read(&mut reader)?;
        reader.end()?;
        Ok(command)
    }

    /// Reads one from `reader`.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            VERSION => {}
            found => return Err(DecodeError::Version { found }),
        }
        Ok(Self {
            at: reader.u64()?,
            first: Revision::from(reader.u64()?),
            compact: Revision::from(reader.u64()?),
            txns: reader.list(read_decided)?,
        })
    }
}

fn read_decided(reader: &mut Reader<'_>) -> Result<Decided, DecodeError> {
    Ok(Decided {
        actor: Arc::from(reader.text()?),
        ops: reader.list(read_op)?,
    })
}

/// Appends `op` to `out`.
pub(crate) fn write_op(out: &mut Writer, op: &Op) {
    match op {
        Op::Put {
            key,
            value,
            expires_at,
        } => {
            out.u8(if expires_at.is_some() { 2 } else { 1 });
            out.text(key.as_str());
            out.u32(value.splice());
            out.bytes(value.bytes());
            if let Some(at) = expires_at {
                out.u64(*at);
            }
        }
        Op::Delete { key } => {
            out.u8(0);
            out.text(key.as_str());
        }
    }
}

/// Reads what [`write_op`] wrote.
pub(crate) fn read_op(reader: &mut Reader<'_>) -> Result<Op, DecodeError> {
    let tag = reader.u8()?;
    let key = read_key(reader)?;
    match tag {
        0 => Ok(Op::Delete { key }),
        1 | 2 => Ok(Op::Put {
            key,
            value: read_value(reader)?,
            expires_at: (tag == 2).then(|| reader.u64()).transpose()?,
        }),
        found => Err(DecodeError::Tag { found }),
    }
}

/// Reads a key and checks it.
pub(crate) fn read_key(reader: &mut Reader<'_>) -> Result<Key, DecodeError> {
    Key::parse(reader.text()?).map_err(|error| DecodeError::Invalid(error.into()))
}

/// Reads splice point and bytes of a value. They are copied, so that one small value does not keep a whole group's
/// buffer in memory.
pub(crate) fn read_value(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let splice = reader.u32()?;
    Value::new(reader.bytes()?, splice).map_err(|error| DecodeError::Invalid(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn ops() -> impl Strategy<Value = Op> {
        let key = "[a-z]{1,8}".prop_map(|name| Key::parse(&format!("/registry/pods/{name}")).unwrap());
        (key, any::<Option<(String, Option<u64>)>>()).prop_map(|(key, put)| match put {
            Some((text, expires_at)) => Op::Put {
                key,
                value: Value::encode(&json!({"text": text})).unwrap(),
                expires_at,
            },
            None => Op::Delete { key },
        })
    }

    fn commands() -> impl Strategy<Value = Command> {
        let txn = ("\\PC{0,12}", proptest::collection::vec(ops(), 0..5)).prop_map(|(actor, ops)| Decided {
            actor: actor.into(),
            ops,
        });
        let txns = proptest::collection::vec(txn, 0..5);
        (any::<u64>(), any::<u64>(), any::<u64>(), txns).prop_map(|(at, first, compact, txns)| Command {
            at,
            first: first.into(),
            compact: compact.into(),
            txns,
        })
    }

    proptest! {
        #[test]
        fn a_command_reads_back_as_it_was_written(command in commands()) {
            prop_assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            Command::decode(&bytes).ok();
            let mut versioned = vec![VERSION];
            versioned.extend(bytes);
            Command::decode(&versioned).ok();
        }

        #[test]
        fn a_command_that_was_cut_or_changed_reads_as_an_error_or_as_another(
            command in commands(), at in any::<prop::sample::Index>(), bit in 0..8u32,
        ) {
            let bytes = command.encode();
            let at = at.index(bytes.len());
            prop_assert!(Command::decode(&bytes[..at]).is_err());
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << bit;
            prop_assert!(Command::decode(&changed).map_or(true, |other| other != command));
        }
    }

    #[test]
    fn a_list_longer_than_its_bytes_is_refused_before_memory_is_taken() {
        let mut out = Writer::default();
        out.u8(VERSION);
        (0..3).for_each(|_| out.u64(1));
        out.u32(u32::MAX);
        assert!(matches!(Command::decode(&out.finish()), Err(DecodeError::Short)));
    }
}
