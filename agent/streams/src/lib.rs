//! Frames of the protocols by which exec, attach and port-forward are streamed: SPDY/3.1, and channels within
//! WebSocket messages. Pure: bytes in, bytes out, every input bounded.

pub mod channel;
pub mod remote_command;
pub mod spdy;
