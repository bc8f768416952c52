//! One line for each step of a command, with its seconds.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Prints steps as they run; to a terminal also the one under way.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            start: now(),
            terminal: std::io::stdout().is_terminal(),
        }
    }

    /// Runs `work` under the heading `title`; what it returns ends the line.
    pub(crate) async fn step<T>(
        &self,
        title: &str,
        work: impl Future<Output = anyhow::Result<(T, String)>>,
    ) -> anyhow::Result<T> {
        let start = now();
        if self.terminal {
            self.print(&format!("\r\x1b[2K\x1b[33m…\x1b[0m {title}"));
        }
        let outcome = Box::pin(work).await;
        let seconds = start.elapsed().as_secs_f64();
        let (mark, detail) = match &outcome {
            Ok((_, detail)) => (self.coloured("32", "✓"), detail.as_str()),
            Err(_) => (self.coloured("31", "✗"), "failed"),
        };
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        self.print(&format!(
            "{clear}{mark} {title:<16} {detail:<56} {seconds:>6.1} s\n"
        ));
        outcome.map(|(value, _)| value)
    }

    /// Seconds since the first step began.
    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Prints a whole line.
    pub(crate) fn line(&self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        if self.terminal {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A reader that went away (a closed pipe) is no reason to stop the work half way.
    fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
    }
}

/// The clock of the progress lines, which measure and decide nothing.
fn now() -> Instant {
    Instant::now()
}

/// The moment, to compare with what machines of this host write down.
pub(crate) fn moment() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// `12.3 MiB`: a number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = count.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths /= 1024;
        unit += 1;
    }
    let unit = units.get(unit).copied().unwrap_or_default();
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_read_as_people_say_them() {
        let shown = [0, 1023, 1024, 1536, 1 << 20, 5 << 30, u64::MAX >> 4].map(bytes);
        assert_eq!(
            shown[..6],
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB"]
        );
    }
}
