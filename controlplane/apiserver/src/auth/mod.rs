//! Who asks, and whether they may.

pub(crate) mod account_token;
pub(crate) mod authenticate;
pub(crate) mod authorize;
pub(crate) mod node;
pub(crate) mod pod_network;
pub(crate) mod restrict;
pub(crate) mod review;
mod websocket_token;
