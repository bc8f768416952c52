//! Elements as the kernel has them.

use std::net::IpAddr;

use crate::element::{Change, Element, ElementKey, Field, Protocol, Tuple, Value, Verdict, comment};
use crate::rules::user_comment;
use crate::structure::{FieldKind, SetSpec, ValueKind};
use crate::wire::{Attributes, Body, NFPROTO_INET, NLM_F_CREATE, Writer};

pub(crate) const NFT_MSG_NEWSETELEM: u16 = 10 << 8 | 12;
pub(crate) const NFT_MSG_GETSETELEM: u16 = 10 << 8 | 13;
const NFT_MSG_DELSETELEM: u16 = 10 << 8 | 14;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;

pub(crate) const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
pub(crate) const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_USERDATA: u16 = 6;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NF_DROP: i32 = 0;
const NFT_JUMP: i32 = -3;
const NFT_GOTO: i32 = -4;
/// The type of a comment within an element's user data (libnftnl's).
const UDATA_COMMENT: u8 = 0;
/// Elements in one message, whose list must stay below 64 KiB.
const ELEMENTS_A_MESSAGE: usize = 200;

/// The transaction of `changes` of `table`; the answer to `sequence` tells of its success.
pub(crate) fn transaction(table: &str, changes: &[Change], sequence: u32) -> Writer {
    let mut writer = Writer::default();
    let mark = (0, NFNL_SUBSYS_NFTABLES);
    writer.message(NFNL_MSG_BATCH_BEGIN, 0, sequence, mark, |_| {});
    for run in changes.chunk_by(together) {
        for part in run.chunks(ELEMENTS_A_MESSAGE) {
            write_part(&mut writer, table, part, sequence);
        }
    }
    // The end of a batch is not answered by kernels before 6.10; its last message is by all.
    writer.acknowledge_last();
    writer.message(NFNL_MSG_BATCH_END, 0, sequence, mark, |_| {});
    writer
}

/// Whether two changes can share a message.
fn together(a: &Change, b: &Change) -> bool {
    matches!(a, Change::Add(_)) == matches!(b, Change::Add(_)) && a.key().set == b.key().set
}

fn write_part(writer: &mut Writer, table: &str, part: &[Change], sequence: u32) {
    let Some(first) = part.first() else { return };
    let (kind, flags) = match first {
        Change::Add(_) => (NFT_MSG_NEWSETELEM, NLM_F_CREATE),
        Change::Remove(_) => (NFT_MSG_DELSETELEM, 0),
    };
    writer.message(kind, flags, sequence, (NFPROTO_INET, 0), |body| {
        body.text(NFTA_SET_ELEM_LIST_TABLE, table);
        body.text(NFTA_SET_ELEM_LIST_SET, &first.key().set);
        body.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
            for change in part {
                list.nest(NFTA_LIST_ELEM, |element| write_change(element, change));
            }
        });
    });
}

fn write_change(body: &mut Body<'_>, change: &Change) {
    let key = bytes(&change.key().key);
    body.nest(NFTA_SET_ELEM_KEY, |data| data.put(NFTA_DATA_VALUE, &key));
    let Change::Add(element) = change else { return };
    match &element.value {
        Value::Nothing => {}
        Value::Tuple(tuple) => body.nest(NFTA_SET_ELEM_DATA, |data| {
            data.put(NFTA_DATA_VALUE, &bytes(tuple));
        }),
        Value::Verdict(verdict) => body.nest(NFTA_SET_ELEM_DATA, |data| {
            data.nest(NFTA_DATA_VERDICT, |inner| write_verdict(inner, verdict));
        }),
    }
    if !element.comment.is_empty() {
        body.put(NFTA_SET_ELEM_USERDATA, &user_data(&element.comment));
    }
}

fn write_verdict(body: &mut Body<'_>, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Drop => (NF_DROP, None),
        Verdict::Goto(chain) => (NFT_GOTO, Some(chain)),
        Verdict::Jump(chain) => (NFT_JUMP, Some(chain)),
    };
    body.put(NFTA_VERDICT_CODE, &code.to_be_bytes());
    if let Some(chain) = chain {
        body.text(NFTA_VERDICT_CHAIN, chain);
    }
}

fn user_data(text: &str) -> Vec<u8> {
    let text = comment(text);
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    let mut data = vec![UDATA_COMMENT, length];
    data.extend(text.as_bytes());
    data.push(0);
    data
}

/// A key or value; each of several parts is padded to four bytes.
pub(crate) fn bytes(tuple: &Tuple) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    for field in &tuple.0 {
        match field {
            Field::Addr(IpAddr::V4(addr)) => bytes.extend(addr.octets()),
            Field::Addr(IpAddr::V6(addr)) => bytes.extend(addr.octets()),
            Field::Protocol(protocol) => bytes.push(protocol.number()),
            Field::Port(port) => bytes.extend(port.to_be_bytes()),
        }
        if tuple.0.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// The elements that a message of a listing holds; those that are not of the set's types are left out.
pub(crate) fn elements(body: &[u8], name: &str, spec: &SetSpec) -> Vec<Element> {
    let list = Attributes::of(body).nested(NFTA_SET_ELEM_LIST_ELEMENTS);
    list.filter(|(kind, _)| *kind == NFTA_LIST_ELEM)
        .filter_map(|(_, element)| read_element(Attributes(element), name, spec))
        .collect()
}

fn read_element(element: Attributes<'_>, name: &str, spec: &SetSpec) -> Option<Element> {
    let key = element.nested(NFTA_SET_ELEM_KEY).find(NFTA_DATA_VALUE)?;
    let data = element.nested(NFTA_SET_ELEM_DATA);
    let value = match &spec.value {
        ValueKind::Nothing => Value::Nothing,
        ValueKind::Tuple(kinds) => Value::Tuple(read(data.find(NFTA_DATA_VALUE)?, kinds)?),
        ValueKind::Verdict => Value::Verdict(read_verdict(data.nested(NFTA_DATA_VERDICT))?),
    };
    let comment = element
        .find(NFTA_SET_ELEM_USERDATA)
        .and_then(|data| user_comment(data, UDATA_COMMENT));
    Some(Element {
        key: ElementKey {
            set: name.into(),
            key: read(key, &spec.key)?,
        },
        value,
        comment: comment.unwrap_or_default().into(),
    })
}

fn read_verdict(verdict: Attributes<'_>) -> Option<Verdict> {
    let code = i32::from_be_bytes(*verdict.find(NFTA_VERDICT_CODE)?.first_chunk()?);
    let chain = verdict.text(NFTA_VERDICT_CHAIN);
    match code {
        NF_DROP => Some(Verdict::Drop),
        NFT_GOTO => Some(Verdict::Goto(chain?.into())),
        NFT_JUMP => Some(Verdict::Jump(chain?.into())),
        _ => None,
    }
}

fn read(bytes: &[u8], kinds: &[FieldKind]) -> Option<Tuple> {
    let mut rest = bytes;
    let mut fields = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let padded = if *kind == FieldKind::Addr6 { 16 } else { 4 };
        let size = if kinds.len() > 1 { padded } else { rest.len() };
        let (field, tail) = rest.split_at_checked(size)?;
        fields.push(match kind {
            FieldKind::Addr4 => Field::Addr(IpAddr::from(*field.first_chunk::<4>()?)),
            FieldKind::Addr6 => Field::Addr(IpAddr::from(*field.first_chunk::<16>()?)),
            FieldKind::Protocol => Field::Protocol(Protocol::of_number(*field.first()?)?),
            FieldKind::Port => Field::Port(u16::from_be_bytes(*field.first_chunk()?)),
        });
        rest = tail;
    }
    Some(Tuple(fields))
}
