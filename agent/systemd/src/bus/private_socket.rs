//! systemd's private socket, made palatable.
//!
//! On it systemd names itself `org.freedesktop.systemd1` as the sender, which is no unique name;
//! zbus refuses every such message. The first letter of that name is replaced by a colon as the
//! bytes come in, which makes a unique name of the same length.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

/// A connected private socket.
#[derive(Debug)]
pub(super) struct PrivateSocket(UnixStream);

impl PrivateSocket {
    pub(super) async fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self(UnixStream::connect(path).await?))
    }
}

impl Socket for PrivateSocket {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.0.into_split();
        Split::new(
            Reader {
                stream: read,
                sender: SenderField::default(),
            },
            Writer(write),
        )
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    stream: OwnedReadHalf,
    sender: SenderField,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let read = self.stream.read(buffer).await?;
        self.sender.patch(buffer.get_mut(..read).unwrap_or_default());
        // systemd's interfaces used here pass no descriptors.
        Ok((read, Vec::new()))
    }
}

#[derive(Debug)]
pub(super) struct Writer(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], _fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// Finds the field in a stream of bytes that comes in any pieces.
#[derive(Debug, Default)]
struct SenderField {
    /// Bytes of [`Self::PATTERN`] seen so far.
    seen: usize,
}

impl SenderField {
    /// Field 7 (sender), signature `s`, a length of 24, and the name's first letter. In a body this
    /// would take a string that ends in the byte 7 right before a string of 24 bytes that starts
    /// with an `o`, which systemd never sends.
    const PATTERN: [u8; 9] = [7, 1, b's', 0, 24, 0, 0, 0, b'o'];

    fn patch(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let expected = Self::PATTERN.get(self.seen);
            self.seen = match (expected == Some(byte), *byte == 7) {
                (true, _) => self.seen + 1,
                (false, true) => 1,
                (false, false) => 0,
            };
            if self.seen == Self::PATTERN.len() {
                *byte = b':';
                self.seen = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: &[u8] = b"\x06\x01s\0\x05\0\0\0:1.23\0\x07\x01s\0\x18\0\0\0org.freedesktop.systemd1\0";

    #[test]
    fn the_sender_becomes_a_unique_name_however_the_bytes_are_cut() {
        for cut in 0..FIELD.len() {
            let mut bytes = FIELD.to_vec();
            let mut field = SenderField::default();
            let (head, tail) = bytes.split_at_mut(cut);
            field.patch(head);
            field.patch(tail);
            assert!(bytes.ends_with(b":rg.freedesktop.systemd1\0"), "cut at {cut}");
            assert_eq!(bytes.iter().zip(FIELD).filter(|(a, b)| a != b).count(), 1);
        }
    }

    #[test]
    fn other_fields_and_other_senders_stay() {
        let mut bytes =
            b"\x07\x01s\0\x05\0\0\0:1.23\0\x06\x01s\0\x18\0\0\0org.freedesktop.systemd1\0".to_vec();
        let before = bytes.clone();
        SenderField::default().patch(&mut bytes);
        assert_eq!(bytes, before);
    }
}
