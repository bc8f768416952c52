//! Ingresses.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{or_none, points};
use super::define::{age, kind, name, text};
use crate::field::{FieldError, quote};
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};
use crate::validate::ingress;

pub(super) fn resource() -> Resource {
    kind("networking.k8s.io", "v1", "Ingress", "ingresses")
        .short(&["ing"])
        .with_status()
        .shown_by(vec![
            name(),
            text(
                "Class",
                "The name of the IngressClass resource that should be used for additional configuration",
                |object, _| or_none(read::text(object, "spec.ingressClassName")),
            ),
            text(
                "Hosts",
                "Hosts that incoming requests are matched against before the ingress rule",
                hosts,
            ),
            text(
                "Address",
                "Address is a list containing ingress points for the load-balancer",
                addresses,
            ),
            text("Ports", "Ports of TLS configurations that open", ports),
            age(),
        ])
        .ruled_by(Rules)
}

/// The first three hosts, and how many rules come after the third.
fn hosts(object: &Value, _: Timestamp) -> Value {
    const SHOWN: usize = 3;
    let rules = read::list(object, "spec.rules");
    let mut hosts: Vec<&str> = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= hosts.len() == SHOWN;
        let host = read::text(rule, "host");
        if !more && !host.is_empty() {
            hosts.push(host);
        }
    }
    match (hosts.is_empty(), more) {
        (true, _) => "*".into(),
        (false, false) => hosts.join(",").into(),
        (false, true) => format!(
            "{} + {} more...",
            hosts.join(","),
            rules.len().saturating_sub(SHOWN)
        )
        .into(),
    }
}

fn addresses(object: &Value, _: Timestamp) -> Value {
    points(object).into_iter().collect::<Vec<_>>().join(",").into()
}

fn ports(object: &Value, _: Timestamp) -> Value {
    if read::list(object, "spec.tls").is_empty() {
        "80".into()
    } else {
        "80, 443".into()
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        meta::object_mut(object).insert("status".to_owned(), json!({"loadBalancer": {}}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        ingress::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        ingress::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        ingress::status(new, old)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let annotation = ingress::CLASS_ANNOTATION;
        let outdated =
            meta::annotations(new).contains_key(annotation) && !read::present(new, "spec.ingressClassName");
        if old.is_none() && outdated {
            let shown = quote(annotation);
            vec![format!(
                "annotation {shown} is deprecated, please use 'spec.ingressClassName' instead"
            )]
        } else {
            Vec::new()
        }
    }
}
