//! Leases.

use serde_json::Value;

use super::define::{age, field, kind, name};
use crate::field::{FieldError, Path};
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};

pub(super) fn resource() -> Resource {
    let resource = kind("coordination.k8s.io", "v1", "Lease", "leases")
        .shown_by(vec![
            name(),
            field(
                "Holder",
                "spec.holderIdentity",
                "holderIdentity contains the identity of the holder of a current lease. If Coordinated Leader \
                 Election is used, the holder identity must be equal to the elected \
                 LeaseCandidate.metadata.name field.",
            ),
            age(),
        ])
        .ruled_by(Rules);
    Resource {
        create_on_update: true,
        unconditional_update: false,
        ..resource
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        coordinated_by_nobody(object);
    }

    fn prepare_update(&self, new: &mut Value, _: &Value, _: &Context) {
        coordinated_by_nobody(new);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = Path::new("spec");
        let mut errors = Vec::new();
        if let Some(seconds) =
            read::integer(object, "spec.leaseDurationSeconds").filter(|seconds| *seconds <= 0)
        {
            errors.push(
                path.child("leaseDurationSeconds")
                    .invalid(seconds, "must be greater than 0"),
            );
        }
        if let Some(count) = read::integer(object, "spec.leaseTransitions").filter(|count| *count < 0) {
            errors.push(
                path.child("leaseTransitions")
                    .invalid(count, "must be greater than or equal to 0"),
            );
        }
        errors
    }
}

/// Drops what only coordinated leader election reads, which upstream has switched off unless told otherwise.
fn coordinated_by_nobody(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("strategy");
        spec.remove("preferredHolder");
    }
}
