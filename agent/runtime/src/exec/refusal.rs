//! Commands that crun could not execute: what is said of them, and with which exit code.
//!
//! The codes are those of shells and of Docker's, 127 for what is not there and 126 for what cannot be
//! executed, and the words are runc's as the client of a Kubernetes cluster sees them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use serde_json::Value;
use tokio::io::{AsyncRead, ReadBuf};

use super::Output;

/// Largest log of crun that is read, in bytes.
const LONGEST: u64 = 16 << 10;

/// Size of the first piece of an output, in bytes: crun's words fit in.
const FIRST: usize = 4 << 10;

/// Why a command was not executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What crun said.
    said: String,
    /// The exit code, where it is the command's fault; else it is the node's.
    pub(super) code: Option<i32>,
}

impl Refusal {
    /// What crun left in its log: nothing, unless it could not execute the command.
    pub(super) fn read(log: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(log)
            .ok()?
            .take(LONGEST)
            .read_to_string(&mut text)
            .ok()?;
        let error = |line: &str| {
            let entry: Value = serde_json::from_str(line).ok()?;
            let is_error = entry.get("level").and_then(Value::as_str) == Some("error");
            let said = entry.get("msg").and_then(Value::as_str).filter(|_| is_error)?;
            Some(said.to_owned())
        };
        let said = text.lines().find_map(error)?;
        Some(Self {
            code: code(&said),
            said,
        })
    }

    /// What the user is told.
    pub(super) fn message(&self, command: &str) -> String {
        let cause = || self.said.rsplit(": ").next().unwrap_or_default().to_lowercase();
        let reason = match self.code {
            Some(127) if command.contains('/') => format!("stat {command}: {}", cause()),
            Some(127) => "executable file not found in $PATH".to_owned(),
            Some(_) => cause(),
            // Not the command's fault, so crun's words are the only ones.
            None => return format!("OCI runtime exec failed: exec failed: {}", self.said),
        };
        format!(
            "OCI runtime exec failed: exec failed: unable to start container process: exec: {command:?}: {reason}"
        )
    }
}

/// By the text of errno(3) that ends what crun says.
fn code(said: &str) -> Option<i32> {
    match said.rsplit(": ").next()? {
        "No such file or directory" | "Not a directory" => Some(127),
        // "not permitted" is what crun says of a folder.
        "Permission denied"
        | "Operation not permitted"
        | "Is a directory"
        | "Exec format error"
        | "Text file busy" => Some(126),
        _ if said.contains("not found in $PATH") => Some(127),
        _ => None,
    }
}

/// An output that ends with the refusal, where there is one. crun's own words for it are left out.
pub(super) struct Told {
    inner: Output,
    log: PathBuf,
    command: String,
    /// What a line ends in: a terminal needs the carriage return.
    line_end: &'static str,
    stage: Stage,
}

enum Stage {
    /// Nothing came yet but what is held back here.
    First(Vec<u8>),
    /// A piece that was read; what is left of the output comes after it.
    Piece(io::Cursor<Vec<u8>>),
    /// The rest comes as it is.
    Command,
}

impl Told {
    pub(super) fn new(inner: Output, log: &Path, command: &[String], line_end: &'static str) -> Self {
        Self {
            inner,
            log: log.to_owned(),
            command: command.first().cloned().unwrap_or_default(),
            line_end,
            stage: Stage::First(Vec::new()),
        }
    }

    /// The first piece of all, or the refusal in its place. What looks like crun's words is held back
    /// until the next piece or the end: crun writes them before it writes its log.
    fn poll_first(&mut self, held: Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Result<Stage>> {
        let mut space = vec![0; FIRST];
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
            Poll::Pending => {
                self.stage = Stage::First(held);
                return Poll::Pending;
            }
            Poll::Ready(read) => read?,
        }
        let fresh = buf.filled();
        let at_end = fresh.is_empty();
        let piece = [&held, fresh].concat();
        if held.is_empty() && !at_end && may_be_cruns(&piece) {
            return self.poll_first(piece, cx);
        }
        let refusal = Refusal::read(&self.log).filter(|_| at_end);
        let own = |refusal: &Refusal| piece.is_empty() || plain(&piece) == refusal.said.as_bytes();
        Poll::Ready(Ok(match refusal.filter(own) {
            Some(refusal) => {
                let text = format!("{}{}", refusal.message(&self.command), self.line_end);
                Stage::Piece(io::Cursor::new(text.into_bytes()))
            }
            None => Stage::Piece(io::Cursor::new(piece)),
        }))
    }
}

/// Whether the bytes begin as crun begins what it says of a command.
fn may_be_cruns(bytes: &[u8]) -> bool {
    ["executable file `", "open executable: ", "exec: ", "exec "]
        .iter()
        .any(|start| plain(bytes).starts_with(start.as_bytes()))
}

/// Without the blanks around it, and the red in which crun speaks to a terminal.
fn plain(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii();
    let bytes = bytes.strip_prefix(b"\x1b[1;31m").unwrap_or(bytes);
    bytes.strip_suffix(b"\x1b[0m").unwrap_or(bytes)
}

impl AsyncRead for Told {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            match std::mem::replace(&mut self.stage, Stage::Command) {
                Stage::First(held) => self.stage = ready!(self.poll_first(held, cx))?,
                Stage::Piece(mut piece) => {
                    ready!(Pin::new(&mut piece).poll_read(cx, buf))?;
                    if buf.filled().len() > before {
                        self.stage = Stage::Piece(piece);
                        return Poll::Ready(Ok(()));
                    }
                }
                Stage::Command => return Pin::new(&mut self.inner).poll_read(cx, buf),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(said: &str) -> (Option<i32>, String) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let odd = r#"{"msg":"odd","level":"warning"}"#;
        let line = serde_json::json!({"msg": said, "level": "error", "time": "t"});
        std::fs::write(&log, format!("{odd}\n{line}\n")).unwrap();
        let refusal = Refusal::read(&log).unwrap();
        (refusal.code, refusal.message("nope"))
    }

    #[test]
    fn what_is_missing_is_127_and_what_cannot_be_executed_126() {
        let (code, text) = refusal("executable file `nope` not found in $PATH: No such file or directory");
        assert_eq!(code, Some(127));
        assert!(
            text.ends_with(r#"exec: "nope": executable file not found in $PATH"#),
            "{text}"
        );
        let (code, text) = refusal("open executable: Permission denied");
        assert_eq!(code, Some(126));
        assert!(text.ends_with(r#"exec: "nope": permission denied"#), "{text}");
        assert_eq!(refusal("exec: Exec format error").0, Some(126));
        assert_eq!(refusal("open executable: Not a directory").0, Some(127));
        assert_eq!(refusal("cannot join the cgroup: Invalid argument").0, None);
    }

    #[tokio::test]
    async fn cruns_words_are_replaced_and_a_commands_own_are_not() {
        use tokio::io::AsyncReadExt as _;
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let command = ["/x".to_owned()];
        let read = async |text: &'static [u8]| {
            let mut told = Told::new(Box::new(text), &log, &command, "\n");
            let mut all = String::new();
            told.read_to_string(&mut all).await.unwrap();
            all
        };
        assert_eq!(read(b"its own\n").await, "its own\n");
        assert_eq!(read(b"exec: odd\n").await, "exec: odd\n");
        std::fs::write(
            &log,
            r#"{"msg":"open executable: Permission denied","level":"error"}"#,
        )
        .unwrap();
        let expected = "OCI runtime exec failed: exec failed: unable to start container process: \
                        exec: \"/x\": permission denied\n";
        assert_eq!(read(b"open executable: Permission denied\n").await, expected);
        let red = b"\x1b[1;31mopen executable: Permission denied\x1b[0m\r\n";
        assert_eq!(read(red).await, expected);
    }
}
