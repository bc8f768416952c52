//! The endpoint over real TLS and WebSockets, with pods in memory.

mod callers;
mod client;
mod forward;
mod logs;
mod process;
mod session;
mod spdy_client;
mod twin;
