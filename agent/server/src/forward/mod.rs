//! Port-forward: TCP connections into a pod, as streams of SPDY, of SPDY within a WebSocket, or as channels of one.
//!
//! Source: KEP-4006, "port-forward tunnels SPDY over WebSockets"; client-go, `tools/portforward`.

pub(crate) mod channels;
mod dial;
mod queue;
mod relay;
mod request;
mod streams;
pub(crate) mod tunnel;
mod voice;

use crate::upgrade::Spoken;

/// SPDY within a WebSocket, as client-go names it.
pub(crate) const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// The protocols of all three.
pub(crate) const SPOKEN: Spoken = Spoken {
    websocket: &[TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""],
    spdy: &["portforward.k8s.io"],
};
