//! What the holder of a container's streams and those who attach to it say to each other: frames over
//! a unix socket. Pure.
//!
//! A frame is a byte that names it, the length of its content (four bytes, the highest first) and the
//! content. The one who attaches begins with [`Frame::Open`]; the holder answers with [`Frame::Opened`]
//! or [`Frame::Full`], and ends with [`Frame::End`].

use std::io;

/// The holder's socket, in the container's directory.
pub const ATTACH_SOCKET: &str = "attach.sock";

/// Largest content of a frame, in bytes.
pub const MAX_FRAME: usize = 16 << 10;

const HEADER: usize = 5;

/// Which streams someone attaches to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What is sent goes to the container's stdin.
    pub stdin: bool,
    /// Its stdout, or its terminal's output.
    pub stdout: bool,
    /// Its stderr; a terminal has none.
    pub stderr: bool,
}

/// Why the holder lets go of someone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The container's process has ended, and all it said was sent.
    Exited,
    /// The other side closed its stdin, which ends an attachment where stdin stays open for the next.
    Detached,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// To the holder, first of all: what is wanted.
    Open(Wanted),
    /// To the holder: input.
    Stdin(Vec<u8>),
    /// To the holder: no more input comes.
    StdinEnd,
    /// To the holder: the terminal's size.
    Resize {
        /// Its width in characters.
        columns: u16,
        /// Its height in characters.
        rows: u16,
    },
    /// From the holder: attached; what the container says from now on follows.
    Opened,
    /// From the holder: too many are attached.
    Full,
    /// From the holder: output.
    Stdout(Vec<u8>),
    /// From the holder: output of stderr.
    Stderr(Vec<u8>),
    /// From the holder: the last frame.
    End(Ending),
}

impl Frame {
    fn number(&self) -> u8 {
        match self {
            Self::Open(_) => 1,
            Self::Stdin(_) => 2,
            Self::StdinEnd => 3,
            Self::Resize { .. } => 4,
            Self::Opened => 5,
            Self::Full => 6,
            Self::Stdout(_) => 7,
            Self::Stderr(_) => 8,
            Self::End(_) => 9,
        }
    }

    /// The frame as bytes. Content beyond [`MAX_FRAME`] is for the caller to split: the reader refuses it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Stdin(bytes) | Self::Stdout(bytes) | Self::Stderr(bytes) => bytes_of(self.number(), bytes),
            Self::Open(wanted) => {
                let flags =
                    u8::from(wanted.stdin) | u8::from(wanted.stdout) << 1 | u8::from(wanted.stderr) << 2;
                bytes_of(self.number(), &[flags])
            }
            Self::Resize { columns, rows } => bytes_of(
                self.number(),
                &[columns.to_be_bytes(), rows.to_be_bytes()].concat(),
            ),
            Self::End(ending) => bytes_of(self.number(), &[u8::from(*ending == Ending::Detached)]),
            Self::StdinEnd | Self::Opened | Self::Full => bytes_of(self.number(), &[]),
        }
    }

    fn read(number: u8, content: &[u8]) -> Option<Self> {
        Some(match (number, content) {
            (1, &[flags]) => Self::Open(Wanted {
                stdin: flags & 1 != 0,
                stdout: flags & 2 != 0,
                stderr: flags & 4 != 0,
            }),
            (2, bytes) => Self::Stdin(bytes.to_vec()),
            (3, []) => Self::StdinEnd,
            (4, &[a, b, c, d]) => Self::Resize {
                columns: u16::from_be_bytes([a, b]),
                rows: u16::from_be_bytes([c, d]),
            },
            (5, []) => Self::Opened,
            (6, []) => Self::Full,
            (7, bytes) => Self::Stdout(bytes.to_vec()),
            (8, bytes) => Self::Stderr(bytes.to_vec()),
            (9, &[0]) => Self::End(Ending::Exited),
            (9, &[1]) => Self::End(Ending::Detached),
            _ => return None,
        })
    }
}

fn bytes_of(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [&[number], length.to_be_bytes().as_slice(), content].concat()
}

/// Frames from bytes as they come in. It never holds more than one incomplete frame, as long as
/// every frame is taken before more is put in.
#[derive(Debug, Default)]
pub struct Decoder {
    waiting: Vec<u8>,
}

impl Decoder {
    /// Adds what was read.
    pub fn put(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until more is there.
    ///
    /// # Errors
    ///
    /// `InvalidData` where the other side speaks something else.
    pub fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some((&[number, a, b, c, d], rest)) = self.waiting.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(invalid("a frame is too long"));
        }
        let Some(content) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = Frame::read(number, content).ok_or_else(|| invalid("no such frame"))?;
        self.waiting.drain(..HEADER.saturating_add(length));
        Ok(Some(frame))
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Frame> {
        let wanted = Wanted {
            stdin: true,
            stdout: false,
            stderr: true,
        };
        vec![
            Frame::Open(wanted),
            Frame::Stdin(b"ls\n".to_vec()),
            Frame::StdinEnd,
            Frame::Resize {
                columns: 300,
                rows: 24,
            },
            Frame::Opened,
            Frame::Full,
            Frame::Stdout(vec![0; MAX_FRAME]),
            Frame::Stderr(Vec::new()),
            Frame::End(Ending::Exited),
            Frame::End(Ending::Detached),
        ]
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_the_bytes_are_cut() {
        let bytes: Vec<u8> = all().iter().flat_map(Frame::encode).collect();
        for size in [1, 2, 3, 5, 7, 4096, usize::MAX] {
            let (mut decoder, mut found) = (Decoder::default(), Vec::new());
            for piece in bytes.chunks(size.min(bytes.len())) {
                decoder.put(piece);
                while let Some(frame) = decoder.take().unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found, all(), "cut after {size}");
            assert!(decoder.waiting.is_empty());
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_and_no_length_is_believed() {
        for bytes in [
            [0, 0, 0, 0, 0].as_slice(),
            &[2, 255, 255, 255, 255],
            &[4, 0, 0, 0, 1, 7],
            &[9, 0, 0, 0, 1, 2],
        ] {
            let mut decoder = Decoder::default();
            decoder.put(bytes);
            assert!(decoder.take().is_err(), "{bytes:?}");
        }
    }
}
