use std::fmt;
use std::io::{self, IsTerminal, Write};

/// Where the verbs write, and whether in colours.
pub(crate) struct Output {
    to: Box<dyn Write + Send>,
    colours: Colours,
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    On,
    Off,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("colours", &self.colours)
            .finish_non_exhaustive()
    }
}

impl Output {
    /// Standard output; coloured on a terminal unless `NO_COLOR` is set.
    pub(crate) fn stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colours = if wanted && io::stdout().is_terminal() {
            Colours::On
        } else {
            Colours::Off
        };
        Self::new(Box::new(io::stdout()), colours)
    }

    /// Any writer.
    pub(crate) fn new(to: Box<dyn Write + Send>, colours: Colours) -> Self {
        Self { to, colours }
    }

    pub(crate) fn colours(&self) -> Colours {
        self.colours
    }

    /// Writes `text` and flushes, so that a watch shows what it has.
    pub(crate) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let written = self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush());
        match written {
            // The reader, such as `head`, has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(anyhow::anyhow!("the reader went away"))
            }
            other => Ok(other?),
        }
    }

    /// Writes `text` as a line of its own.
    pub(crate) fn line(&mut self, text: &str) -> anyhow::Result<()> {
        self.write(&format!("{text}\n"))
    }
}

/// Tells the user on standard error something that is no result.
#[expect(clippy::print_stderr, reason = "the command's own words to its user")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}
