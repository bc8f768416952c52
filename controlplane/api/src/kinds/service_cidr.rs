//! ServiceCIDRs.

use serde_json::{Value, json};

use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};
use crate::validate::service_range;

pub(super) fn resource() -> Resource {
    kind("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs")
        .cluster_wide()
        .with_status()
        .shown_by(vec![
            name(),
            text(
                "CIDRs",
                "CIDRs defines the IP blocks in CIDR notation (e.g. \"192.168.0.0/24\" or \"2001:db8::/64\") from which \
                 to assign service cluster IPs. Max of two CIDRs is allowed, one of each IP family. This field is \
                 immutable.",
                |object, _| read::texts(object, "spec.cidrs").join(",").into(),
            ),
            age(),
        ])
        .ruled_by(Rules)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        meta::object_mut(object).insert("status".to_owned(), json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        service_range::range(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        service_range::range_update(new, old)
    }
}
