//! APIServices: which group and version is answered by whom. Those of this server's own groups are local ones; what
//! another server would answer is kept and not passed on.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::names::{self, NameCheck};
use crate::read;
use crate::registry::Registry;
use crate::resource::{Resource, at};
use crate::strategy::{Context, Strategy};
use crate::time;
use crate::validate::api_service;

pub(super) fn resource() -> Resource {
    kind("apiregistration.k8s.io", "v1", "APIService", "apiservices")
        .cluster_wide()
        .in_category("api-extensions")
        .with_status()
        .shown_by(vec![
            name(),
            text(
                "Service",
                "The reference to the service that hosts this API endpoint.",
                service,
            ),
            text("Available", "Whether this service is available.", available),
            age(),
        ])
        .ruled_by(Rules)
}

fn service(object: &Value, _: Timestamp) -> Value {
    match at(object, "spec.service").filter(|service| !service.is_null()) {
        None => "Local".into(),
        Some(service) => format!(
            "{}/{}",
            read::text(service, "namespace"),
            read::text(service, "name")
        )
        .into(),
    }
}

fn available(object: &Value, _: Timestamp) -> Value {
    let Some(condition) = read::condition(object, "Available") else {
        return "Unknown".into();
    };
    match (read::text(condition, "status"), read::text(condition, "reason")) {
        ("True", _) => "True".into(),
        (status, "") => status.into(),
        (status, reason) => format!("{status} ({reason})").into(),
    }
}

/// Priorities of groups: what clients look at first when a name is in several. Upstream's numbers.
const PRIORITIES: [(&str, i64); 20] = [
    ("", 18_000),
    ("admissionregistration.k8s.io", 16_700),
    ("apiextensions.k8s.io", 16_700),
    ("apps", 17_800),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("coordination.k8s.io", 16_500),
    ("discovery.k8s.io", 16_200),
    ("events.k8s.io", 17_750),
    ("flowcontrol.apiserver.k8s.io", 16_100),
    ("networking.k8s.io", 17_200),
    ("node.k8s.io", 16_300),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("resource.k8s.io", 15_900),
    ("scheduling.k8s.io", 16_600),
    ("storage.k8s.io", 16_800),
];

/// The APIServices of the groups and versions in `registry`, but for that of APIServices itself.
#[must_use]
pub fn local(registry: &Registry) -> Vec<Value> {
    let mut found = Vec::new();
    for group in registry.groups() {
        if group.name == "apiregistration.k8s.io" {
            continue;
        }
        let known = PRIORITIES.iter().find(|(name, _)| *name == group.name);
        for version in group.versions {
            let (minimum, priority) = match (known, version.as_str()) {
                (Some((_, minimum)), "v2") => (*minimum, 30),
                (Some((_, minimum)), _) if group.name.is_empty() => (*minimum, 1),
                (Some((_, minimum)), _) => (*minimum, 15),
                (None, _) => (1000, 100),
            };
            let mut spec = json!({
                "version": version, "groupPriorityMinimum": minimum, "versionPriority": priority,
            });
            if !group.name.is_empty() {
                meta::object_mut(&mut spec).insert("group".to_owned(), group.name.clone().into());
            }
            found.push(json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {
                    "name": format!("{version}.{}", group.name),
                    "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"},
                },
                "spec": spec,
            }));
        }
    }
    found
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn name_check(&self) -> NameCheck {
        names::path_segment
    }

    fn prepare_create(&self, object: &mut Value, context: &Context) {
        let local = !read::present(object, "spec.service");
        let condition = json!({
            "type": "Available", "status": "True", "lastTransitionTime": time::format(context.now), "reason": "Local",
            "message": "Local APIServices are always available",
        });
        let status = if local {
            json!({"conditions": [condition]})
        } else {
            json!({})
        };
        meta::object_mut(object).insert("status".to_owned(), status);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        api_service::service(object)
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        api_service::status(new)
    }
}
