//! Calls of the `nft` tool. They block.

use std::path::Path;

use nftables::helper::{NftablesError, apply_ruleset_with_args, get_current_ruleset_raw};
use nftables::schema::Nftables;

use crate::TABLE;
use crate::error::NftError;
use crate::masquerade::Masquerade;
use crate::rules;

/// Makes the ruleset hold `masquerade`; does nothing where it does already.
///
/// # Errors
///
/// When `nft` is missing or refuses.
pub fn apply(masquerade: &Masquerade) -> Result<(), NftError> {
    if is_applied(masquerade) {
        return Ok(());
    }
    run(
        &masquerade.commands(),
        &format!("masquerade network {}", masquerade.network),
    )
}

/// Whether the ruleset holds `masquerade`, no rule more or less.
#[must_use]
pub fn is_applied(masquerade: &Masquerade) -> bool {
    // No table, no chain, no nftables: in each case it is not applied.
    rules::comments(&masquerade.chain()).is_ok_and(|found| found == masquerade.comments())
}

/// Takes `masquerade` out of the ruleset; does nothing where it is not there.
///
/// # Errors
///
/// When `nft` is missing or refuses.
pub fn remove(masquerade: &Masquerade) -> Result<(), NftError> {
    let chain = masquerade.chain();
    match get_current_ruleset_raw(program(), ["list", "chain", "inet", TABLE, chain.as_str()]) {
        Ok(_) => run(
            &masquerade.removal(),
            &format!("stop masquerading network {}", masquerade.network),
        ),
        Err(_) => Ok(()),
    }
}

fn run(commands: &Nftables<'_>, attempted: &str) -> Result<(), NftError> {
    let attempted = attempted.to_owned();
    match apply_ruleset_with_args(commands, program(), ["-j"; 0]) {
        Ok(()) => Ok(()),
        Err(NftablesError::NftExecution { inner, .. }) if inner.kind() == std::io::ErrorKind::NotFound => {
            Err(NftError::Missing { attempted })
        }
        Err(source) => Err(NftError::Failed { attempted, source }),
    }
}

/// Container runtimes call plugins with all kinds of `PATH`; `nft` lies in an administrator's folder.
fn program() -> Option<&'static str> {
    let usual = ["/usr/sbin/nft", "/sbin/nft", "/run/current-system/sw/bin/nft"];
    usual.into_iter().find(|path| Path::new(path).exists())
}
