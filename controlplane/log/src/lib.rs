//! Log lines of the daemons: readable in the journal, with systemd's priority.
//!
//! Both daemons use it. Under systemd a line is `<priority>message field=value …` on standard error
//! (sd-daemon(3), "Prefixes"): plain `journalctl -u` shows the cause of a failure, and
//! `journalctl -p` still filters. The native journal protocol would put the fields where plain
//! `journalctl` does not show them.

use std::fmt;
use std::io::IsTerminal;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, registry};

/// The module of kube's client that logs requests.
const TOLD_TWICE: &str = "kube_client::client::builder";

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error("key log = {filter:?} is no filter such as \"info\" or \"info,floe_agent=debug\"")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Logging was started before.
    #[error("start logging")]
    Started(#[source] TryInitError),
}

/// Starts logging what `filter` lets through, such as `info` or `info,controlplane_store=debug`.
///
/// # Errors
///
/// Where the filter is none, or logging was started before.
pub fn start(filter: &str) -> Result<(), LogError> {
    let parsed = parse(filter)?;
    let plain = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if std::env::var_os("JOURNAL_STREAM").is_some() {
        plain.with_ansi(false).event_format(JournalLine).boxed()
    } else {
        plain.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    registry()
        .with(parsed)
        .with(lines)
        .try_init()
        .map_err(LogError::Started)
}

/// The filter, without what is told twice: kube's client says of each request that failed that it did, as an
/// error, and so does whoever made the request, or tries again. The consensus library tells of each of its steps; what
/// matters of them is told by who uses it. Naming either in `filter` brings it back.
fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(format!("{TOLD_TWICE}=off,openraft=error,{filter}")).map_err(|source| {
        LogError::Filter {
            filter: filter.to_owned(),
            source,
        }
    })
}

/// One event as one line for the journal.
#[derive(Debug, Clone, Copy)]
struct JournalLine;

impl<S, N> FormatEvent<S, N> for JournalLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(to, "<{}>", priority(*event.metadata().level()))?;
        ctx.format_fields(to.by_ref(), event)?;
        for span in ctx
            .event_scope()
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(fields) = span
                .extensions()
                .get::<FormattedFields<N>>()
                .filter(|fields| !fields.is_empty())
            {
                write!(to, " {fields}")?;
            }
        }
        writeln!(to)
    }
}

/// The level of syslog(3) that systemd expects in front of a line.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_filter_hides_what_is_told_twice_unless_it_names_it() {
        let shown = |filter: &str| parse(filter).unwrap().to_string();
        assert!(shown("debug").contains("kube_client::client::builder=off"));
        let named = shown("info,kube_client::client::builder=debug");
        assert!(
            named.contains("builder=debug") && !named.contains("off"),
            "{named}"
        );
        assert!(parse("no=such=level").is_err());
    }

    #[test]
    fn a_line_in_the_journal_tells_the_cause_and_its_priority() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .event_format(JournalLine);
        tracing::subscriber::with_default(registry().with(layer), || {
            let _pod = tracing::info_span!("pod", pod = "web-0").entered();
            tracing::warn!(error = "connection refused", "certificate not obtained");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "<4>certificate not obtained error=\"connection refused\" pod=\"web-0\"\n"
        );
    }
}
