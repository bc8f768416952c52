//! ResourceClaims and ResourceClaimTemplates.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::define::{age, kind, name, text};
use super::device_class::GROUP;
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};
use crate::validate::device::{claim, status};

pub(super) fn resource() -> Resource {
    kind(GROUP, "v1", "ResourceClaim", "resourceclaims")
        .with_status()
        .shown_by(vec![
            name(),
            text(
                "State",
                "A summary of the current state (allocated, pending, reserved, etc.).",
                state,
            ),
            age(),
        ])
        .ruled_by(Rules::Claim)
}

pub(super) fn template() -> Resource {
    kind(GROUP, "v1", "ResourceClaimTemplate", "resourceclaimtemplates").ruled_by(Rules::Template)
}

fn state(object: &Value, _: Timestamp) -> Value {
    let deleted = meta::deletion_timestamp(object).is_some();
    let allocated = read::present(object, "status.allocation");
    let reserved = allocated && !read::list(object, "status.reservedFor").is_empty();
    let states = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (reserved, "reserved"),
    ];
    let states = states.iter().filter(|(is, _)| *is).map(|(_, word)| *word);
    states.collect::<Vec<_>>().join(",").into()
}

/// What is claimed never changes; what is given for it is the status.
#[derive(Debug)]
enum Rules {
    Claim,
    Template,
}

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        if matches!(self, Self::Claim) {
            meta::object_mut(object).insert("status".to_owned(), json!({}));
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        match self {
            Self::Claim => claim::claim(object),
            Self::Template => claim::template(object),
        }
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        claim::changed(new, old).into_iter().collect()
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, _: &Context) {
        if matches!(self, Self::Claim) {
            forget_given_back(new, old);
        }
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        status::update(new, old)
    }
}

/// What was said of a device goes when the device is given back.
fn forget_given_back(new: &mut Value, old: &Value) {
    let given = |claim: &Value| -> HashSet<[String; 3]> {
        let results = read::list(claim, "status.allocation.devices.results");
        results.iter().map(device).collect()
    };
    let now = given(new);
    let gone: HashSet<_> = given(old).difference(&now).cloned().collect();
    let status = new.get_mut("status").and_then(Value::as_object_mut);
    let Some(status) = status else { return };
    let Some(Value::Array(devices)) = status.get_mut("devices") else {
        return;
    };
    devices.retain(|of| !gone.contains(&device(of)));
    if devices.is_empty() {
        status.remove("devices");
    }
}

fn device(of: &Value) -> [String; 3] {
    ["driver", "pool", "device"].map(|part| read::text(of, part).to_owned())
}
