//! Where log lines go: the journal under systemd, else standard error.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// Starts logging what `filter` lets through, such as `info` or `info,controlplane_store=debug`.
///
/// # Errors
///
/// Where the filter is none.
pub(crate) fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log = {filter:?}"))?;
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let journal = under_systemd.then(|| tracing_journald::layer().ok()).flatten();
    let plain = journal.is_none().then(|| {
        fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
    });
    registry()
        .with(filter)
        .with(journal)
        .with(plain)
        .try_init()
        .context("start logging")
}
