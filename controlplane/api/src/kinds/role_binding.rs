//! RoleBindings and ClusterRoleBindings.

use jiff::Timestamp;
use serde_json::Value;

use super::define::{age, name, text};
use super::role::rbac;
use crate::field::FieldError;
use crate::names::{self, NameCheck};
use crate::read;
use crate::resource::{Column, Resource, Scope};
use crate::strategy::Strategy;
use crate::validate::rbac;

pub(super) fn resource() -> Resource {
    rbac("RoleBinding", "rolebindings", Rules(Scope::Namespaced)).shown_by(columns([
        "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the \
         RoleRef cannot be resolved, the Authorizer must return an error. This field is immutable.",
        "Users in the roleBinding",
        "Groups in the roleBinding",
        "ServiceAccounts in the roleBinding",
    ]))
}

pub(super) fn cluster() -> Resource {
    let columns = columns([
        "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the \
         Authorizer must return an error. This field is immutable.",
        "Users in the clusterRoleBinding",
        "Groups in the clusterRoleBinding",
        "ServiceAccounts in the clusterRoleBinding",
    ]);
    rbac("ClusterRoleBinding", "clusterrolebindings", Rules(Scope::Cluster))
        .cluster_wide()
        .shown_by(columns)
}

fn columns([role, users, groups, accounts]: [&'static str; 4]) -> Vec<Column> {
    vec![
        name(),
        text("Role", role, role_cell),
        age(),
        text("Users", users, |binding, _| subjects(binding, "User")).wide(),
        text("Groups", groups, |binding, _| subjects(binding, "Group")).wide(),
        text("ServiceAccounts", accounts, |binding, _| {
            subjects(binding, "ServiceAccount")
        })
        .wide(),
    ]
}

fn role_cell(binding: &Value, _: Timestamp) -> Value {
    let part = |field| read::text(binding, field);
    format!("{}/{}", part("roleRef.kind"), part("roleRef.name")).into()
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let of_kind = read::list(binding, "subjects")
        .iter()
        .filter(|subject| read::text(subject, "kind") == kind);
    let names: Vec<String> = of_kind
        .map(|subject| match kind {
            "ServiceAccount" => {
                format!(
                    "{}/{}",
                    read::text(subject, "namespace"),
                    read::text(subject, "name")
                )
            }
            _ => read::text(subject, "name").to_owned(),
        })
        .collect();
    names.join(", ").into()
}

#[derive(Debug)]
struct Rules(Scope);

impl Strategy for Rules {
    fn name_check(&self) -> NameCheck {
        names::path_segment
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        rbac::binding(object, self.0)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = rbac::binding(new, self.0);
        // Upstream looks at all of it once more.
        errors.extend(rbac::binding(new, self.0));
        errors.extend(rbac::role_changed(new, old));
        errors
    }
}
