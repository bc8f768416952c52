//! Channels within a WebSocket: each binary message begins with the number of its channel. Pure.
//!
//! Source: `remotecommand.k8s.io` version 4 and 5 (apimachinery, `pkg/util/remotecommand/constants.go`).

use bytes::{BufMut, Bytes, BytesMut};

use crate::access::TerminalSize;

/// The subprotocols, best first.
pub(crate) const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// Which rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// No way to close a single channel.
    V4,
    /// Channel 255 closes the channel its one byte names.
    V5,
}

impl Protocol {
    /// The rules behind a name of [`PROTOCOLS`].
    pub(crate) fn of(name: &str) -> Self {
        if name == "v4.channel.k8s.io" {
            Self::V4
        } else {
            Self::V5
        }
    }
}

/// A channel from the node to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
    /// How the process ended, as a v1 Status.
    Error,
}

impl Channel {
    fn number(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Error => 3,
        }
    }

    /// `bytes` as a message of this channel.
    pub(crate) fn message(self, bytes: &[u8]) -> Bytes {
        let mut message = BytesMut::with_capacity(bytes.len().saturating_add(1));
        message.put_u8(self.number());
        message.put_slice(bytes);
        message.freeze()
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// For standard input.
    Stdin(Bytes),
    /// End of standard input.
    StdinEnd,
    /// The terminal's new size.
    Resize(TerminalSize),
}

/// The size as client-go writes it (`remotecommand.TerminalSize`).
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// Reads a client's message; `None` for what has no meaning here, which is skipped as upstream does.
pub(crate) fn decode(protocol: Protocol, mut message: Bytes) -> Option<Input> {
    if message.is_empty() {
        return None;
    }
    let channel = message.split_to(1);
    match (channel.first()?, protocol) {
        (0, _) => Some(Input::Stdin(message)),
        (4, _) => {
            let Size { width, height } = serde_json::from_slice(&message).ok()?;
            Some(Input::Resize(TerminalSize { width, height }))
        }
        (255, Protocol::V5) if message.first() == Some(&0) => Some(Input::StdinEnd),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_with_its_channel() {
        assert_eq!(Channel::Stdout.message(b"hi").as_ref(), b"\x01hi");
        assert_eq!(Channel::Stderr.message(b"").as_ref(), b"\x02");
        assert_eq!(Channel::Error.message(b"{}").as_ref(), b"\x03{}");
    }

    #[test]
    fn clients_write_stdin_sizes_and_the_end_of_stdin() {
        let read = |bytes: &'static [u8]| decode(Protocol::V5, Bytes::from_static(bytes));
        assert_eq!(read(b"\0ls\n"), Some(Input::Stdin(Bytes::from_static(b"ls\n"))));
        assert_eq!(read(b"\xff\0"), Some(Input::StdinEnd));
        let size = TerminalSize {
            width: 80,
            height: 24,
        };
        assert_eq!(read(br#"{"Width":80,"Height":24}"#), None);
        assert_eq!(
            read(b"\x04{\"Width\":80,\"Height\":24}"),
            Some(Input::Resize(size))
        );
    }

    #[test]
    fn what_has_no_meaning_is_skipped() {
        for message in [
            b"".as_slice(),
            b"\x09x",
            b"\xff",
            b"\xff\x01",
            b"\x04{",
            b"\x04{\"Width\":-1}",
        ] {
            assert_eq!(
                decode(Protocol::V5, Bytes::copy_from_slice(message)),
                None,
                "{message:?}"
            );
        }
        assert_eq!(decode(Protocol::V4, Bytes::from_static(b"\xff\0")), None);
    }
}
