//! The endpoint over real TLS and WebSockets, with pods in memory.

mod callers;
mod client;
mod logs;
mod process;
mod session;
mod twin;
