//! Exec and attach: a process's streams as channels of a WebSocket, or as streams of SPDY.

mod ear;
mod input;
mod output;
mod session;
mod status;
mod streams;
mod voice;

use agent_streams::remote_command;

use crate::upgrade::Spoken;

pub(crate) use session::{Kind, Terms, serve};

/// The protocols of both.
pub(crate) const SPOKEN: Spoken = Spoken {
    websocket: &remote_command::WEBSOCKET,
    spdy: &remote_command::SPDY,
};
