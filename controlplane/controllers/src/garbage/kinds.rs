//! The kinds the server has.

use kube::Client;
use kube::core::ApiResource;
use kube::discovery::{Discovery, Scope, verbs};

/// A kind whose objects can be listed, watched and deleted.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    /// Whether all objects of a namespace can be deleted by one call.
    pub(crate) in_bulk: bool,
}

impl Kind {
    /// Whether objects of this kind own others or are owned: all but events, which end by themselves.
    pub(super) fn owns_or_is_owned(&self) -> bool {
        self.resource.kind != "Event"
    }
}

/// Asks the server for its kinds.
///
/// # Errors
///
/// When discovery fails.
pub(crate) async fn discover(client: &Client) -> Result<Vec<Kind>, kube::Error> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let kinds = discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources)
        .filter(|(_, capabilities)| {
            [verbs::LIST, verbs::WATCH, verbs::DELETE]
                .iter()
                .all(|verb| capabilities.supports_operation(verb))
        })
        .map(|(resource, capabilities)| Kind {
            resource,
            namespaced: capabilities.scope == Scope::Namespaced,
            in_bulk: capabilities.supports_operation(verbs::DELETE_COLLECTION),
        });
    Ok(kinds.collect())
}
