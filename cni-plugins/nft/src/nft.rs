//! Calls of the `nft` tool. They block.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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
    rules::comments(TABLE, &masquerade.chain()).is_ok_and(|found| found == masquerade.comments())
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
    apply_ruleset_with_args(commands, program(), ["-j"; 0])
        .map_err(|error| NftError::of_tool(attempted.to_owned(), error))
}

/// Runs `commands` in nft's own language as one transaction, telling `started` the process. JSON cannot say all that is needed: rules
/// that fill a map from packets have no form in it. The crate cannot hand over text either, since `nft -j`
/// reads standard input as JSON, finds none, and does nothing without a word.
pub(crate) fn run_text(commands: &str, attempted: &str, started: impl FnOnce(u32)) -> Result<(), NftError> {
    let output = feed(program().unwrap_or("nft"), commands, started).map_err(|inner| {
        let program = "nft".into();
        NftError::of_tool(
            attempted.to_owned(),
            NftablesError::NftExecution { program, inner },
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(NftError::Refused {
        attempted: attempted.to_owned(),
        said: said.lines().next().unwrap_or("nothing").to_owned(),
    })
}

fn feed(program: &str, input: &str, started: impl FnOnce(u32)) -> std::io::Result<Output> {
    let mut child = Command::new(program)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    // Before it has read anything, so before it changes anything.
    started(child.id());
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    // An nft that refuses early closes its input; what it says is worth more than that.
    if output.status.success() {
        written?;
    }
    Ok(output)
}

/// Whether the tool can be found.
#[must_use]
pub fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program().is_some() || std::env::split_paths(&path).any(|folder| folder.join("nft").is_file())
}

/// Container runtimes call plugins with all kinds of `PATH`; `nft` lies in an administrator's folder.
pub(crate) fn program() -> Option<&'static str> {
    let usual = ["/usr/sbin/nft", "/sbin/nft", "/run/current-system/sw/bin/nft"];
    usual.into_iter().find(|path| Path::new(path).exists())
}
