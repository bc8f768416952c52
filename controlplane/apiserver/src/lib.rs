//! The API server: routes, content types, authentication, authorisation, reads, writes, watch streams.
//!
//! General machinery into which kinds enter as data: a request is parsed ([`ApiServer::router`]'s
//! fallback), its resource is looked up in the registry, and reads, writes and watches work on whatever
//! the registry, the schema table and the kind's strategy say. Reads send stored bytes; only what needs
//! a look inside is parsed.
//!
//! # Bounds
//!
//! 3 MiB bodies, 1.5 MiB objects, 128 levels; connections, heads, handshake and header time, HTTP/2 streams and resets
//! ([`Limits`]). A pod waits up to 2 s for the default account of its new namespace. A client's own `resourceVersion`
//! turns into 409 by itself, on the first or the second round of a write. A watch holds one timer and no queue; bookmarks
//! carry the store's progress, so none overtakes an event.

mod archive;
mod auth;
mod bootstrap;
mod call;
mod clock;
mod dispatch;
mod flow;
mod front;
mod in_process;
mod measure;
mod meta_api;
mod node;
mod proxy;
mod read;
mod reply;
mod request;
mod serve;
mod server;
#[cfg(test)]
mod tests;
mod write;

pub use auth::pod_network::PodNetworks;
pub use bootstrap::{Bootstrap, BootstrapError};
pub use clock::{Clock, ManualClock, SystemClock};
pub use in_process::InProcess;
pub use meta_api::metrics::Metrics;
pub use node::client::{NodeClient, NodeClientError};
pub use serve::{Limits, ServeError, ServingCertificate, server_config};
pub use server::{ApiServer, Parts, Trouble};

/// The key at which a list goes on by a client's `continue` token, if that is one; for fuzz targets.
#[must_use]
pub fn continue_key(token: &str, folder: &str) -> Option<String> {
    let token = read::token::Token::decode(token, folder).ok()?;
    Some(token.after.as_str().to_owned())
}
