//! Exec and attach: a process's streams as channels of a WebSocket.

mod channel;
mod input;
mod output;
mod session;
mod status;

pub(crate) use channel::PROTOCOLS;
pub(crate) use session::{Kind, Terms, serve};
