//! The endpoint over real TLS and WebSockets, with pods in memory.

mod callers;
mod client;
mod dialects;
mod forward;
mod logs;
mod process;
mod session;
mod spdy_client;
mod spdy_session;
mod twin;
