//! Rules for roles and their bindings.

use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::{Scope, at};
use crate::validate::workload::{self, LabelValues};
use crate::validate::{change, naming};

const GROUP: &str = "rbac.authorization.k8s.io";

/// What is wrong with a role of this scope.
pub(crate) fn role(object: &Value, scope: Scope) -> Vec<FieldError> {
    checked(object, scope, LabelValues::Checked)
}

/// What is wrong with an update of a role. Upstream looks at all of it twice.
pub(crate) fn role_update(new: &Value, old: &Value, scope: Scope) -> Vec<FieldError> {
    let before = read::list(old, "aggregationRule.clusterRoleSelectors").iter();
    let values = before.map(|selector| workload::values_after(Some(selector)));
    let values = values.max().unwrap_or_default();
    let mut errors = checked(new, scope, values);
    errors.extend(checked(new, scope, values));
    errors
}

fn checked(object: &Value, scope: Scope, values: LabelValues) -> Vec<FieldError> {
    let path = Path::new("rules");
    let mut errors: Vec<FieldError> = read::list(object, "rules")
        .iter()
        .enumerate()
        .flat_map(|(index, rule)| policy_rule(rule, scope, &path.index(index)))
        .collect();
    if read::present(object, "aggregationRule") {
        errors.extend(aggregation(object, values));
    }
    errors
}

fn policy_rule(rule: &Value, scope: Scope, path: &Path) -> Vec<FieldError> {
    let list = |field: &str| read::list(rule, field);
    let mut errors = Vec::new();
    if list("verbs").is_empty() {
        errors.push(
            path.child("verbs")
                .required("verbs must contain at least one value"),
        );
    }
    let urls = list("nonResourceURLs");
    if !urls.is_empty() {
        let path = path.child("nonResourceURLs");
        let mut wrong = |detail: &str| errors.push(path.invalid(urls, detail));
        if scope == Scope::Namespaced {
            wrong("namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"]
            .iter()
            .any(|field| !list(field).is_empty())
        {
            wrong("rules cannot apply to both regular resources and non-resource URLs");
        }
        return errors;
    }
    if list("apiGroups").is_empty() {
        let detail = "resource rules must supply at least one api group";
        errors.push(path.child("apiGroups").required(detail));
    }
    if list("resources").is_empty() {
        let detail = "resource rules must supply at least one resource";
        errors.push(path.child("resources").required(detail));
    }
    errors
}

fn aggregation(object: &Value, values: LabelValues) -> Vec<FieldError> {
    let path = Path::new("aggregationRule.clusterRoleSelectors");
    let selectors = read::list(object, "aggregationRule.clusterRoleSelectors");
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        return vec![path.required(detail)];
    }
    let selectors = selectors.iter().enumerate();
    selectors
        .flat_map(|(index, selector)| workload::selector_errors(selector, values, &path.index(index)))
        .collect()
}

/// What is wrong with a binding of this scope.
pub(crate) fn binding(object: &Value, scope: Scope) -> Vec<FieldError> {
    let path = Path::new("roleRef");
    let mut errors = Vec::new();
    let group = read::text(object, "roleRef.apiGroup");
    if group != GROUP {
        errors.push(path.child("apiGroup").not_supported(group, &[GROUP]));
    }
    let kinds: &[&str] = match scope {
        Scope::Namespaced => &["Role", "ClusterRole"],
        Scope::Cluster => &["ClusterRole"],
    };
    let kind = read::text(object, "roleRef.kind");
    if !kinds.contains(&kind) {
        errors.push(path.child("kind").not_supported(kind, kinds));
    }
    let name = read::text(object, "roleRef.name");
    errors.extend(naming::required(names::path_segment, name, &path.child("name")));
    let subjects = read::list(object, "subjects").iter().enumerate();
    errors.extend(
        subjects.flat_map(|(index, found)| subject(found, scope, &Path::new("subjects").index(index))),
    );
    errors
}

fn subject(subject: &Value, scope: Scope, path: &Path) -> Vec<FieldError> {
    let (kind, name) = (read::text(subject, "kind"), read::text(subject, "name"));
    let group = read::text(subject, "apiGroup");
    let mut errors = Vec::new();
    if name.is_empty() {
        errors.push(path.child("name").required(""));
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.extend(naming::broken(names::dns_subdomain, name, &path.child("name")));
            }
            if !group.is_empty() {
                errors.push(path.child("apiGroup").not_supported(group, &[""]));
            }
            if scope == Scope::Cluster && read::text(subject, "namespace").is_empty() {
                errors.push(path.child("namespace").required(""));
            }
        }
        "User" | "Group" => {
            if name.is_empty() {
                let detail = format!("{} name cannot be empty", kind.to_lowercase());
                errors.push(path.child("name").invalid(name, detail));
            }
            if group != GROUP {
                errors.push(path.child("apiGroup").not_supported(group, &[GROUP]));
            }
        }
        _ => errors.push(
            path.child("kind")
                .not_supported(kind, &["ServiceAccount", "User", "Group"]),
        ),
    }
    errors
}

/// A binding is for one role, for life.
pub(crate) fn role_changed(new: &Value, old: &Value) -> Option<FieldError> {
    // Upstream shows its inner form, whose members have Go's names.
    let part = |field: &str| at(new, "roleRef").map_or("", |role| read::text(role, field));
    let shown = json!({"APIGroup": part("apiGroup"), "Kind": part("kind"), "Name": part("name")});
    change::differs(new, old, "roleRef").then(|| Path::new("roleRef").invalid(shown, "cannot change roleRef"))
}
