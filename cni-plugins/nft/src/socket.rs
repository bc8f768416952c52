//! A netfilter netlink socket. It belongs to the network namespace in which it was made.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::wire::{
    Body, Message, Messages, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, Writer, error_code,
};

/// Times a listing is begun again because the ruleset changed under it.
const ATTEMPTS: usize = 8;
/// Larger than any message of a dump (the kernel fills at most 32 KiB).
const BUFFER: usize = 64 << 10;
/// Room for answers; a batch with errors gets one for each of its messages.
const RECEIVE_BUFFER: usize = 4 << 20;
/// What the kernel adds to a message in its own accounting, and more.
const SEND_OVERHEAD: usize = 1 << 20;

/// A socket that speaks to netfilter.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket for requests.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// Binds the socket and returns its port, which is in every notice of what it caused.
    pub(crate) fn port(&self) -> io::Result<u32> {
        let address = rustix::net::getsockname(&self.fd)?;
        let mut address = SocketAddrNetlink::try_from(address)?;
        if address.pid() == 0 {
            rustix::net::bind(&self.fd, &SocketAddrNetlink::new(0, 0))?;
            address = SocketAddrNetlink::try_from(rustix::net::getsockname(&self.fd)?)?;
        }
        Ok(address.pid())
    }

    /// A number for a request that none of the recent ones had.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends `bytes` as one datagram of any size.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let needed = bytes.len() + SEND_OVERHEAD;
        if rustix::net::sockopt::socket_send_buffer_size(&self.fd)? < needed {
            rustix::net::sockopt::set_socket_send_buffer_size_force(&self.fd, needed)?;
            rustix::net::sockopt::set_socket_recv_buffer_size_force(&self.fd, RECEIVE_BUFFER)?;
        }
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent = rustix::net::sendto(&self.fd, bytes, SendFlags::empty(), &kernel)?;
        if sent == bytes.len() {
            return Ok(());
        }
        Err(io::Error::other("netlink took a part of the request alone"))
    }

    /// Receives one datagram; `flags` may say not to wait.
    pub(crate) fn receive(&mut self, flags: RecvFlags) -> io::Result<&[u8]> {
        let (filled, _) = rustix::net::recv(&self.fd, self.buffer.as_mut_slice(), flags)?;
        Ok(self.buffer.get(..filled).unwrap_or_default())
    }

    /// Lists what `kind` asks for; `answer` gets each message, or `None` when all is begun anew.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        family: u8,
        fill: impl Fn(&mut Body<'_>),
        mut answer: impl FnMut(Option<&Message<'_>>),
    ) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let sequence = self.next_sequence();
            let mut writer = Writer::default();
            writer.message(kind, NLM_F_DUMP, sequence, (family, 0), &fill);
            self.send(writer.bytes())?;
            if self.answers(sequence, &mut answer)? {
                return Ok(());
            }
            answer(None);
        }
        Err(io::Error::other("the ruleset changed while it was listed"))
    }

    /// Reads one listing to its end; `false` where the ruleset changed meanwhile.
    fn answers(&mut self, sequence: u32, answer: &mut impl FnMut(Option<&Message<'_>>)) -> io::Result<bool> {
        let mut consistent = true;
        loop {
            let datagram = self.receive(RecvFlags::empty())?;
            for message in Messages(datagram).filter(|message| message.sequence == sequence) {
                consistent &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE => return Ok(consistent),
                    NLMSG_ERROR => return Err(io::Error::from_raw_os_error(error_code(message.body))),
                    _ => answer(Some(&message)),
                }
            }
        }
    }
}
