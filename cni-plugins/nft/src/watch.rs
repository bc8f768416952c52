//! Notices of changes that others make in the table.

use std::collections::BTreeSet;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};

use crate::error::NftError;
use crate::own::Own;
use crate::ruleset::FOREIGN_CHAINS;
use crate::wire::{Attributes, Message, Messages, NFPROTO_INET};

/// Room for the notices of a large transaction.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The group of nftables' notices.
const NFNLGRP_NFTABLES: u32 = 7;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_DELCHAIN: u16 = 5;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_DELRULE: u16 = 8;
const NFT_MSG_NEWSET: u16 = 9;
const NFT_MSG_NEWGEN: u16 = 15;
/// The table's name has this type in every message that has one.
const NFTA_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_CHAIN_NAME: u16 = 3;

/// Hears of changes in the table of one ruleset by others.
pub struct Watch {
    socket: TokioSocket,
    own: Own,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// What others have changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Foreign {
    /// Whether notices were lost, so that anything may have changed.
    pub lost: bool,
    /// What was changed, in words.
    pub what: BTreeSet<String>,
}

impl Foreign {
    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.lost && self.what.is_empty()
    }
}

impl Watch {
    /// Begins to listen, in the network namespace of the calling thread, to changes by others than the
    /// ruleset that gave `own`.
    ///
    /// # Errors
    ///
    /// When the kernel gives no socket.
    pub fn begin(own: Own) -> Result<Self, NftError> {
        let open = || {
            let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
            let inner = socket.socket_mut();
            rustix::net::sockopt::set_socket_recv_buffer_size_force(&*inner, RECEIVE_BUFFER)?;
            inner.bind(&SocketAddr::new(0, 0))?;
            inner.add_membership(NFNLGRP_NFTABLES)?;
            Ok(socket)
        };
        let socket = open().map_err(|source| NftError::Kernel {
            attempted: "listen to changes of the ruleset".to_owned(),
            source,
        })?;
        Ok(Self { socket, own })
    }

    /// Waits for a change by others. Cancel-safe: a notice is taken only when it is returned.
    pub async fn next(&mut self) -> Foreign {
        loop {
            let mut foreign = Foreign::default();
            match self.socket.recv_from_full().await {
                Ok((datagram, _)) => {
                    let others = Messages(&datagram).filter(|message| !self.own.has(message.port));
                    foreign
                        .what
                        .extend(others.filter_map(|message| describe(&message, self.own.table())));
                }
                // The queue overflowed (ENOBUFS): what was in it is unknown.
                Err(_) => foreign.lost = true,
            }
            if !foreign.is_empty() {
                return foreign;
            }
        }
    }
}

/// What `message` says of `table` in words; `None` where it is about other tables or the plugins' chains.
fn describe(message: &Message<'_>, table: &str) -> Option<String> {
    if message.kind >> 8 != NFNL_SUBSYS_NFTABLES || message.body.first() != Some(&NFPROTO_INET) {
        return None;
    }
    let attributes = Attributes::of(message.body);
    if attributes.text(NFTA_TABLE) != Some(table) {
        return None;
    }
    let kind = message.kind & 0xff;
    let chain = match kind {
        NFT_MSG_NEWCHAIN..=NFT_MSG_DELCHAIN => attributes.text(NFTA_CHAIN_NAME),
        NFT_MSG_NEWRULE..=NFT_MSG_DELRULE => attributes.text(NFTA_RULE_CHAIN),
        _ => None,
    };
    if chain.is_some_and(|name| name.starts_with(FOREIGN_CHAINS)) {
        return None;
    }
    let what = match (kind, chain) {
        (NFT_MSG_NEWGEN.., _) => return None,
        (NFT_MSG_NEWSET.., _) => format!("set {}", attributes.text(2).unwrap_or("?")),
        (_, Some(chain)) => format!("chain {chain}"),
        (_, None) => "table".to_owned(),
    };
    Some(what)
}
