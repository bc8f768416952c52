//! Exec and attach: versions of the protocol, and what is said on its channels.
//!
//! Source: apimachinery, `pkg/util/remotecommand/constants.go`; kubelet, `pkg/cri/streaming/remotecommand`.

use bytes::{Bytes, BytesMut};

use crate::channel::Form;

/// Bytes of unfinished JSON that are kept of a stream of sizes.
const MAX_SIZE: usize = 1024;

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// What the versions differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The first: an error is told as text.
    V1,
    /// Streams are closed in good order.
    V2,
    /// Sizes of the terminal have a stream of their own.
    V3,
    /// The end is told as a v1 Status.
    V4,
    /// In WebSockets, channel 255 closes the channel its one byte names.
    V5,
}

/// What is spoken by one name of a WebSocket's subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Its rules.
    pub version: Version,
    /// Its messages.
    pub form: Form,
}

/// Subprotocols of WebSockets. The empty one stands for clients that name none.
pub const WEBSOCKET: [&str; 8] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
];

/// Protocols of SPDY, best first.
pub const SPDY: [&str; 4] = [
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
];

impl Dialect {
    /// The rules behind a name of [`WEBSOCKET`] or [`SPDY`].
    #[must_use]
    pub fn of(name: &str) -> Self {
        let version = match name.split('.').next() {
            Some("v5") => Version::V5,
            Some("v4") => Version::V4,
            Some("v3") => Version::V3,
            Some("v2") => Version::V2,
            _ => Version::V1,
        };
        let base64 = name.split('.').any(|word| word == "base64");
        let form = if base64 { Form::Base64 } else { Form::Binary };
        Self { version, form }
    }
}

/// A channel from the node to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
    /// How the process ended.
    Error,
}

impl Channel {
    /// Its number in WebSockets.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Error => 3,
        }
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// For standard input.
    Stdin(Bytes),
    /// End of standard input.
    StdinEnd,
    /// The terminal's new size.
    Resize(TerminalSize),
}

/// Reads a client's WebSocket message; `None` for what has no meaning here, which is skipped as upstream does.
#[must_use]
pub fn decode(dialect: Dialect, message: Bytes) -> Option<Input> {
    let (channel, said) = dialect.form.open(message)?;
    match (channel, dialect.version) {
        (0, _) => Some(Input::Stdin(said)),
        (4, _) => Sizes::default().take(&said).map(Input::Resize),
        (255, Version::V5) if said.first() == Some(&0) => Some(Input::StdinEnd),
        _ => None,
    }
}

/// The size as client-go writes it (`remotecommand.TerminalSize`).
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// Reads the sizes of a SPDY stream: JSON objects one after the other, in pieces of any length.
#[derive(Debug, Default)]
pub struct Sizes(BytesMut);

impl Sizes {
    /// The last size that is complete with `piece`, if any. What is no size is dropped with all before it.
    pub fn take(&mut self, piece: &[u8]) -> Option<TerminalSize> {
        self.0.extend_from_slice(piece);
        let mut values = serde_json::Deserializer::from_slice(&self.0).into_iter::<Size>();
        let mut last = None;
        let unfinished = loop {
            match values.next() {
                Some(Ok(Size { width, height })) => last = Some(TerminalSize { width, height }),
                Some(Err(error)) => break error.is_eof(),
                None => break false,
            }
        };
        let done = values.byte_offset().min(self.0.len());
        if unfinished && self.0.len().saturating_sub(done) <= MAX_SIZE {
            drop(self.0.split_to(done));
        } else {
            self.0.clear();
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: TerminalSize = TerminalSize {
        width: 80,
        height: 24,
    };

    #[test]
    fn every_name_says_its_version_and_form() {
        let said = |name| {
            let Dialect { version, form } = Dialect::of(name);
            format!("{version:?} {form:?}")
        };
        let all = WEBSOCKET.map(said).join(", ");
        let expected =
            "V5 Binary, V4 Binary, V4 Base64, V3 Binary, V2 Binary, V1 Binary, V1 Base64, V1 Binary";
        assert_eq!(all, expected);
    }

    #[test]
    fn clients_write_stdin_sizes_and_the_end_of_stdin() {
        let v5 = Dialect::of("v5.channel.k8s.io");
        let read = |bytes: &'static [u8]| decode(v5, Bytes::from_static(bytes));
        assert_eq!(read(b"\0ls\n"), Some(Input::Stdin(Bytes::from_static(b"ls\n"))));
        assert_eq!(read(b"\xff\0"), Some(Input::StdinEnd));
        assert_eq!(read(br#"{"Width":80,"Height":24}"#), None);
        assert_eq!(
            read(b"\x04{\"Width\":80,\"Height\":24}"),
            Some(Input::Resize(SIZE))
        );
        let base64 = Dialect::of("base64.channel.k8s.io");
        assert_eq!(
            decode(base64, Bytes::from_static(b"0aGk=")),
            Some(Input::Stdin(Bytes::from_static(b"hi")))
        );
    }

    #[test]
    fn what_has_no_meaning_is_skipped() {
        let v5 = Dialect::of("v5.channel.k8s.io");
        for message in [
            b"".as_slice(),
            b"\x09x",
            b"\xff",
            b"\xff\x01",
            b"\x04{",
            b"\x04{\"Width\":-1}",
        ] {
            assert_eq!(decode(v5, Bytes::copy_from_slice(message)), None, "{message:?}");
        }
        let v4 = Dialect::of("v4.channel.k8s.io");
        assert_eq!(decode(v4, Bytes::from_static(b"\xff\0")), None);
    }

    #[test]
    fn sizes_are_read_however_they_are_cut() {
        let text = "{\"Width\":1,\"Height\":2}\n{\"Width\":80,\"Height\":24}\n";
        for cut in 0..text.len() {
            let mut sizes = Sizes::default();
            let (head, tail) = text.split_at(cut);
            let first = sizes.take(head.as_bytes());
            assert_eq!(sizes.take(tail.as_bytes()).or(first), Some(SIZE), "cut at {cut}");
        }
    }

    #[test]
    fn a_size_without_end_is_given_up() {
        let mut sizes = Sizes::default();
        for _ in 0..10_000 {
            assert_eq!(sizes.take(b"{\"Width\":            "), None);
            assert!(sizes.0.len() <= MAX_SIZE + 64);
        }
        let mut sizes = Sizes::default();
        assert_eq!(sizes.take(b"nonsense"), None);
        assert_eq!(sizes.take(b"{\"Width\":80,\"Height\":24}"), Some(SIZE));
    }
}
