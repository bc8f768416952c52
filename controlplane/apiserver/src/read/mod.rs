//! Reads: one object, a list, a watch; in the form the client asked for.

pub(crate) mod binary;
pub(crate) mod event;
pub(crate) mod frames;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod render;
pub(crate) mod select;
pub(crate) mod stream;
pub(crate) mod token;
pub(crate) mod watch;
pub(crate) mod websocket;
