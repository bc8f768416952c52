//! Reads rules from the kernel without the `nft` tool, whose start alone costs more than an ADD.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::TABLE;

/// Times a listing is begun again because the ruleset changed under it.
const ATTEMPTS: usize = 8;
/// Larger than any message of a dump (the kernel fills at most 32 KiB).
const BUFFER: usize = 64 << 10;

const HEADER: usize = 16;
/// Family, version and resource ID of netfilter's messages.
const FAMILY_HEADER: usize = 4;
const NFPROTO_INET: u8 = 1;
const NFT_MSG_NEWRULE: u16 = 10 << 8 | 6;
const NFT_MSG_GETRULE: u16 = 10 << 8 | 7;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_USERDATA: u16 = 7;
/// The type of a comment within a rule's user data (libnftnl's).
const UDATA_COMMENT: u8 = 0;
/// Marks nested attributes and byte order; no part of an attribute's type.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Comments of the rules of `chain` in their order; none where there is no such chain.
///
/// # Errors
///
/// When the kernel refuses, or the ruleset never stands still.
pub(crate) fn comments(chain: &str) -> io::Result<Vec<String>> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(NETFILTER),
    )?;
    for _ in 0..ATTEMPTS {
        if let Some(found) = list(&socket, chain)? {
            return Ok(found);
        }
    }
    Err(io::Error::other("the ruleset changed while it was listed"))
}

/// One listing; `None` where the ruleset changed meanwhile.
fn list(socket: &OwnedFd, chain: &str) -> io::Result<Option<Vec<String>>> {
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(socket, &request(chain), SendFlags::empty(), &kernel)?;
    let mut found = Vec::new();
    let mut consistent = true;
    let mut buffer = vec![0_u8; BUFFER];
    loop {
        let (filled, _) = rustix::net::recv(socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        for message in Messages(buffer.get(..filled).unwrap_or_default()) {
            consistent &= message.flags & NLM_F_DUMP_INTR == 0;
            match message.kind {
                NLMSG_DONE => return Ok(consistent.then_some(found)),
                NLMSG_ERROR => return Err(error(message.body)),
                NFT_MSG_NEWRULE => found.extend(comment(message.body)),
                _ => {}
            }
        }
    }
}

fn request(chain: &str) -> Vec<u8> {
    let mut body = vec![NFPROTO_INET, 0, 0, 0];
    put(&mut body, NFTA_RULE_TABLE, TABLE);
    put(&mut body, NFTA_RULE_CHAIN, chain);
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(NFT_MSG_GETRULE.to_ne_bytes());
    message.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Appends an attribute with a text that ends in NUL, padded to four bytes.
fn put(body: &mut Vec<u8>, kind: u16, text: &str) {
    let length = u16::try_from(4 + text.len() + 1).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(text.as_bytes());
    body.push(0);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn error(body: &[u8]) -> io::Error {
    let code = body.first_chunk().map_or(0, |raw| i32::from_ne_bytes(*raw));
    io::Error::from_raw_os_error(code.saturating_abs())
}

fn comment(body: &[u8]) -> Option<String> {
    let attributes = Attributes(body.get(FAMILY_HEADER..)?);
    let (_, data) = attributes
        .into_iter()
        .find(|(kind, _)| *kind == NFTA_RULE_USERDATA)?;
    let mut rest = data;
    while let [kind, length, tail @ ..] = rest {
        let (value, next) = tail.split_at_checked(usize::from(*length))?;
        if *kind == UDATA_COMMENT {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = next;
    }
    None
}

/// One netlink message.
struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

/// The messages of a datagram; a malformed one ends it.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.0;
        let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
        let message = Message {
            kind: u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?),
            flags: u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?),
            body: bytes.get(HEADER..length)?,
        };
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// Attributes with their types; a malformed one ends them.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.0;
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & NLA_TYPE_MASK;
        let value = bytes.get(4..length)?;
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_found_among_other_attributes_and_user_data() {
        let mut body = vec![NFPROTO_INET, 0, 0, 0];
        put(&mut body, NFTA_RULE_TABLE, "floe");
        let data = [9, 2, 7, 7, 0, 3, b'h', b'i', 0];
        body.extend(u16::try_from(4 + data.len()).unwrap().to_ne_bytes());
        body.extend(NFTA_RULE_USERDATA.to_ne_bytes());
        body.extend(data);
        assert_eq!(comment(&body).unwrap(), "hi");
    }

    #[test]
    fn a_datagram_that_was_cut_off_ends_without_a_panic() {
        let whole = request("masquerade-pods");
        assert_eq!(Messages(&whole).count(), 1);
        for end in 0..whole.len() {
            assert_eq!(Messages(&whole[..end]).count(), 0, "{end}");
            assert!(Attributes(&whole[..end]).count() <= end);
            assert_eq!(comment(&whole[..end]), None);
        }
    }
}
