//! Roles and ClusterRoles.

use serde_json::Value;

use super::cells::created_at;
use super::define::{kind, name};
use crate::field::FieldError;
use crate::names::{self, NameCheck};
use crate::resource::{Resource, Scope};
use crate::strategy::Strategy;
use crate::validate::rbac;

pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

/// What roles and bindings have in common: a PUT creates one that is not there.
pub(super) fn rbac(
    kind_name: &'static str,
    plural: &'static str,
    strategy: impl Strategy + 'static,
) -> Resource {
    Resource {
        create_on_update: true,
        ..kind(GROUP, "v1", kind_name, plural).ruled_by(strategy)
    }
}

pub(super) fn resource() -> Resource {
    rbac("Role", "roles", Rules(Scope::Namespaced)).shown_by(vec![name(), created_at()])
}

pub(super) fn cluster() -> Resource {
    rbac("ClusterRole", "clusterroles", Rules(Scope::Cluster))
        .cluster_wide()
        .shown_by(vec![name(), created_at()])
}

#[derive(Debug)]
struct Rules(Scope);

impl Strategy for Rules {
    fn name_check(&self) -> NameCheck {
        names::path_segment
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        rbac::role(object, self.0)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        rbac::role_update(new, old, self.0)
    }
}
