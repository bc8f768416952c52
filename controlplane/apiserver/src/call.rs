//! One request about a resource, with everything parsed.

use std::sync::Arc;

use controlplane_api::table::Include;
use controlplane_api::{ApiError, Context, Resource, UserInfo, Verb};
use controlplane_store::{Entry, Store};

use crate::read;
use crate::read::render::Form;
use crate::request::accept::Accepted;
use crate::request::query::Query;
use crate::server::Inner;

/// One request about a resource.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) server: Arc<Inner>,
    pub(crate) user: UserInfo,
    pub(crate) resource: Arc<Resource>,
    /// Set exactly for namespaced resources, but for reads over all namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) verb: Verb,
    pub(crate) query: Query,
    /// Who writes, as `managedFields` names it.
    pub(crate) manager: String,
    pub(crate) accepted: Accepted,
    pub(crate) gzip: bool,
    pub(crate) include: Include,
}

impl Call {
    pub(crate) fn store(&self) -> &Store {
        &self.server.store
    }

    /// What refusals call the options in the query.
    pub(crate) fn options_kind(&self) -> &'static str {
        match self.verb {
            Verb::Get => "GetOptions",
            Verb::List | Verb::Watch => "ListOptions",
            Verb::Create => "CreateOptions",
            Verb::Update => "UpdateOptions",
            Verb::Patch => "PatchOptions",
            Verb::Delete | Verb::DeleteCollection => "DeleteOptions",
        }
    }

    /// The user's name, as the store's history keeps it.
    pub(crate) fn actor(&self) -> Arc<str> {
        Arc::from(self.user.username.as_str())
    }

    /// How answers to this request look.
    pub(crate) fn form(&self) -> Form<'_> {
        Form {
            resource: &self.resource,
            accepted: self.accepted,
            include: self.include,
            now: self.server.clock.now(),
        }
    }

    /// Time, identity and randomness for one attempt at a write.
    pub(crate) fn context(&self) -> Context {
        Context::new(self.server.clock.now(), self.user.clone())
    }

    /// The namespace, empty for cluster-scoped resources.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// The object's name, empty for collections.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The stored object that the request names.
    ///
    /// # Errors
    ///
    /// 404 where it is not there.
    pub(crate) fn entry(&self) -> Result<Arc<Entry>, ApiError> {
        read::get::entry(
            self.store(),
            &self.resource,
            self.namespace.as_deref(),
            self.name(),
        )
    }

    pub(crate) fn modified(&self) -> ApiError {
        ApiError::modified(&self.resource.group, &self.resource.plural, self.name())
    }

    pub(crate) fn conflict(&self, why: &str) -> ApiError {
        ApiError::conflict(&self.resource.group, &self.resource.plural, self.name(), why)
    }
}
