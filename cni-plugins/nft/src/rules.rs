//! Reads rules from the kernel without the `nft` tool, whose start alone costs more than an ADD.

use std::io;

use crate::socket::Socket;
use crate::wire::{Attributes, NFPROTO_INET};

const NFT_MSG_NEWRULE: u16 = 10 << 8 | 6;
const NFT_MSG_GETRULE: u16 = 10 << 8 | 7;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_USERDATA: u16 = 7;
/// The type of a comment within a rule's user data (libnftnl's).
const UDATA_COMMENT: u8 = 0;

/// Comments of the rules of `chain` of `table` in their order; none where there is no such chain.
///
/// # Errors
///
/// When the kernel refuses, or the ruleset never stands still.
pub(crate) fn comments(table: &str, chain: &str) -> io::Result<Vec<String>> {
    let mut socket = Socket::open()?;
    let mut found = Vec::new();
    socket.dump(
        NFT_MSG_GETRULE,
        NFPROTO_INET,
        |body| {
            body.text(NFTA_RULE_TABLE, table);
            body.text(NFTA_RULE_CHAIN, chain);
        },
        |answer| match answer {
            None => found.clear(),
            Some(message) if message.kind == NFT_MSG_NEWRULE => found.extend(comment(message.body)),
            Some(_) => {}
        },
    )?;
    Ok(found)
}

fn comment(body: &[u8]) -> Option<String> {
    let data = Attributes::of(body).find(NFTA_RULE_USERDATA)?;
    user_comment(data, UDATA_COMMENT)
}

/// The comment of type `wanted` in libnftnl's user data: type, length, value, and so on.
pub(crate) fn user_comment(data: &[u8], wanted: u8) -> Option<String> {
    let mut rest = data;
    while let [kind, length, tail @ ..] = rest {
        let (value, next) = tail.split_at_checked(usize::from(*length))?;
        if *kind == wanted {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Messages, Writer};

    #[test]
    fn a_comment_is_found_among_other_attributes_and_user_data() {
        let mut writer = Writer::default();
        writer.message(NFT_MSG_NEWRULE, 0, 1, (NFPROTO_INET, 0), |body| {
            body.text(NFTA_RULE_TABLE, "floe");
            body.put(NFTA_RULE_USERDATA, &[9, 2, 7, 7, 0, 3, b'h', b'i', 0]);
        });
        let message = Messages(writer.bytes()).next().unwrap();
        assert_eq!(comment(message.body).unwrap(), "hi");
    }

    #[test]
    fn user_data_that_was_cut_off_has_no_comment() {
        for end in 0..5 {
            assert_eq!(user_comment(&[0, 3, b'h', b'i', 0][..end], 0), None);
        }
    }
}
