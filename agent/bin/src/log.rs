//! Where log lines go: the journal with fields where the agent is a service, else standard error.

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// Starts logging at `level`, a `tracing` filter such as `info` or `info,floe_agent=debug`.
pub(crate) fn start(level: &str) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(level).map_err(|error| anyhow::anyhow!("config key log = {level:?}: {error}"))?;
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let journal = in_journal.then(tracing_journald::layer).and_then(Result::ok);
    let layer = match journal {
        Some(journal) => journal.boxed(),
        None => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()?;
    Ok(())
}
