//! Reviews: questions about users and what they may do, answered by the server and never stored.

use super::define::kind;
use crate::resource::{Resource, Verb};

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// A kind whose objects are questions.
fn review(group: &'static str, kind_name: &'static str, plural: &'static str) -> Resource {
    Resource {
        verbs: vec![Verb::Create],
        transient: true,
        ..kind(group, "v1", kind_name, plural)
    }
}

/// Every review; all but `LocalSubjectAccessReview` are about the whole cluster.
pub(super) fn all() -> [Resource; 6] {
    [
        review(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews").cluster_wide(),
        review(AUTHENTICATION, "TokenReview", "tokenreviews").cluster_wide(),
        review(
            AUTHORIZATION,
            "LocalSubjectAccessReview",
            "localsubjectaccessreviews",
        ),
        review(
            AUTHORIZATION,
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
        )
        .cluster_wide(),
        review(AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews").cluster_wide(),
        review(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews").cluster_wide(),
    ]
}
