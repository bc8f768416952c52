//! Queries: SQL over the objects and their history, answered at once and never stored.

use super::define::kind;
use crate::resource::{Resource, Verb};

/// `queries.floe.dev`: a create is answered with `status.columns` and `status.rows`, as a `SubjectAccessReview` is with its
/// status. Whoever may create one reads every object, whatever its kind.
#[must_use]
pub fn query() -> Resource {
    let resource = kind("floe.dev", "v1", "Query", "queries").cluster_wide();
    Resource {
        verbs: vec![Verb::Create],
        transient: true,
        ..resource
    }
}
