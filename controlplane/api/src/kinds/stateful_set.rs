//! StatefulSets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells;
use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::names::{self, NameCheck};
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy, keep};
use crate::validate::{pod, stateful_set, volume_claim};

pub(super) fn resource() -> Resource {
    kind("apps", "v1", "StatefulSet", "statefulsets")
        .short(&["sts"])
        .in_category("all")
        .with_status()
        .with_scale()
        .shown_by(vec![
            name(),
            text("Ready", "Number of the pod with ready state", ready),
            age(),
            cells::template_containers(),
            cells::template_images(),
        ])
        .ruled_by(Rules)
}

fn ready(object: &Value, _: Timestamp) -> Value {
    let count = |path| read::count(object, path);
    format!("{}/{}", count("status.readyReplicas"), count("spec.replicas")).into()
}

/// The templates of claims, which say what they are, as upstream's do.
fn claims(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    let list = object
        .pointer_mut("/spec/volumeClaimTemplates")
        .and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    /// Pods are named after their set, so its name must fit into theirs.
    fn name_check(&self) -> NameCheck {
        names::dns_label
    }

    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        let empty = json!({"replicas": 0, "availableReplicas": 0});
        meta::object_mut(object).insert("status".to_owned(), empty);
        for claim in claims(object) {
            let claim = meta::object_mut(claim);
            claim.insert("apiVersion".to_owned(), "v1".into());
            claim.insert("kind".to_owned(), "PersistentVolumeClaim".into());
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        keep(new, old, "status");
        // A set that was made before claims named their kind still has none to lose or to gain.
        for (claim, stored) in claims(new).zip(read::list(old, "spec.volumeClaimTemplates")) {
            keep(claim, stored, "apiVersion");
            keep(claim, stored, "kind");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        stateful_set::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        stateful_set::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        stateful_set::status(new, old)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = pod::warnings::of_template(new, old);
        warnings.extend(volume_claim::template_warnings(new, old));
        if read::count(new, "spec.revisionHistoryLimit") < 0 {
            let text = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is \
                        recommended";
            warnings.push(text.to_owned());
        }
        warnings
    }
}
