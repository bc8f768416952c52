//! Port-forward: TCP connections into a pod as SPDY streams within a WebSocket.
//!
//! Source: KEP-4006, "port-forward tunnels SPDY over WebSockets"; client-go, `tools/portforward`.

mod dial;
mod relay;
mod request;
pub(crate) mod spdy;
mod streams;
mod tunnel;

pub(crate) use tunnel::{PROTOCOLS, serve};
