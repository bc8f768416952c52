//! The store's log, network and membership: what makes one server or several keep one state.
//!
//! A [`Server`] is one member of the group; one alone is a group of one, by the same code. It joins a [`Log`] (durable,
//! in order), the consensus of the `openraft` library, the copy in memory ([`Replica`](controlplane_store::Replica)) to
//! which what a majority has is applied, and the state on disk ([`State`](controlplane_store::State)), which follows
//! off the write path.

mod handing;
mod health;
pub mod join;
mod keeper;
mod log;
mod log_store;
mod log_wal;
mod member;
mod members;
mod memory;
mod message;
mod metrics;
mod network;
mod receive;
mod refusals;
mod runtime;
mod server;
mod service;
mod standing;
mod state_machine;
pub mod tls;
mod types;
mod watcher;
mod wire;

pub use log::{Log, MemoryLog};
pub use log_wal::state_error;
pub use member::Room;
pub use members::{ChangeError, MemberInfo, Role};
pub use message::{Change, MAX_FRAME, can_read_message};
pub use network::{NoNetwork, Transport, TransportError};
pub use refusals::{Reason, Refusals};
pub use runtime::{Runtime, seed_thread};
pub use server::{Drive, Members, Origin, Server, Setup, StartError, Tuning};
pub use service::Service;
pub use types::{Peer, ServerId};
