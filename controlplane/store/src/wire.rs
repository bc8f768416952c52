//! Transactions and outcomes as servers send them to each other.

use std::sync::Arc;

use crate::codec::{DecodeError, Reader, Writer};
use crate::command::{read_key, read_op, write_op};
use crate::memory_state::{read_entry, write_entry};
use crate::{Compare, Outcome, Txn};

/// Appends `txn` to `out`.
pub fn write_txn(out: &mut Writer, txn: &Txn) {
    out.text(&txn.actor);
    out.length(txn.compares.len());
    for compare in &txn.compares {
        match compare {
            Compare::Absent(_) => out.u8(0),
            Compare::Exists(_) => out.u8(1),
            Compare::ModRevision(_, _) => out.u8(2),
        }
        out.text(compare.key().as_str());
        if let Compare::ModRevision(_, revision) = compare {
            out.u64(revision.get());
        }
    }
    out.length(txn.ops.len());
    txn.ops.iter().for_each(|op| write_op(out, op));
}

/// Reads what [`write_txn`] wrote.
///
/// # Errors
///
/// Names what is wrong with the bytes.
pub fn read_txn(reader: &mut Reader<'_>) -> Result<Txn, DecodeError> {
    Ok(Txn {
        actor: Arc::from(reader.text()?),
        compares: reader.list(read_compare)?,
        ops: reader.list(read_op)?,
    })
}

fn read_compare(reader: &mut Reader<'_>) -> Result<Compare, DecodeError> {
    let tag = reader.u8()?;
    let key = read_key(reader)?;
    match tag {
        0 => Ok(Compare::Absent(key)),
        1 => Ok(Compare::Exists(key)),
        2 => Ok(Compare::ModRevision(key, reader.u64()?.into())),
        found => Err(DecodeError::Tag { found }),
    }
}

/// Appends `outcome` to `out`.
pub fn write_outcome(out: &mut Writer, outcome: &Outcome) {
    match outcome {
        Outcome::Committed { revision } => {
            out.u8(0);
            out.u64(revision.get());
        }
        Outcome::Refused { current } => {
            out.u8(1);
            out.length(current.len());
            for entry in current {
                out.option(entry.as_deref(), write_entry);
            }
        }
    }
}

/// Reads what [`write_outcome`] wrote.
///
/// # Errors
///
/// Names what is wrong with the bytes.
pub fn read_outcome(reader: &mut Reader<'_>) -> Result<Outcome, DecodeError> {
    match reader.u8()? {
        0 => Ok(Outcome::Committed {
            revision: reader.u64()?.into(),
        }),
        1 => Ok(Outcome::Refused {
            current: reader.list(|reader| Ok(reader.option(read_entry)?.map(Arc::new)))?,
        }),
        found => Err(DecodeError::Tag { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Key, Op, Value};
    use proptest::prelude::*;

    fn round_trip<T>(
        value: &T,
        write: impl Fn(&mut Writer, &T),
        read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
    ) -> T {
        let mut out = Writer::default();
        write(&mut out, value);
        let bytes = out.finish();
        let mut reader = Reader::new(&bytes);
        let value = read(&mut reader).unwrap();
        reader.end().unwrap();
        value
    }

    proptest! {
        #[test]
        fn transactions_and_outcomes_read_back_as_they_were_written(
            name in "[a-z]{1,9}", text: String, revision: u64, expires_at: Option<u64>,
        ) {
            let key = Key::parse(&format!("/registry/{name}")).unwrap();
            let value = Value::encode(&serde_json::json!({"text": text})).unwrap();
            let txn = Txn {
                actor: text.as_str().into(),
                compares: vec![
                    Compare::Absent(key.clone()),
                    Compare::Exists(key.clone()),
                    Compare::ModRevision(key.clone(), revision.into()),
                ],
                ops: vec![
                    Op::Put { key: key.clone(), value: value.clone(), expires_at },
                    Op::Delete { key: key.clone() },
                ],
            };
            prop_assert_eq!(&round_trip(&txn, write_txn, read_txn), &txn);
            let entry = Entry { key, value, create_revision: 3.into(), mod_revision: revision.into(), expires_at };
            for outcome in [
                Outcome::Committed { revision: revision.into() },
                Outcome::Refused { current: vec![None, Some(Arc::new(entry))] },
            ] {
                prop_assert_eq!(&round_trip(&outcome, write_outcome, read_outcome), &outcome);
            }
        }
    }
}
