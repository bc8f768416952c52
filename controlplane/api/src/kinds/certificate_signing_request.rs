//! CertificateSigningRequests.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::or_none;
use super::define::{age, field, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::names::{self, NameCheck};
use crate::read;
use crate::resource::{Resource, Role, SelectableField, Verb};
use crate::strategy::{Context, Strategy, keep};
use crate::time;
use crate::validate::signing;

// Upstream's descriptions of columns, to the letter.
const SIGNER_NAME_HELP: &str = "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it \
    will be defaulted:\n 1. If it's a kubelet client certificate, it is assigned\n    \
    \"kubernetes.io/kube-apiserver-client-kubelet\".\n 2. If it's a kubelet serving certificate, it is \
    assigned\n    \"kubernetes.io/kubelet-serving\".\n 3. Otherwise, it is assigned \
    \"kubernetes.io/legacy-unknown\".\nDistribution of trust for signers happens out of band. You can select on \
    this field using `spec.signerName`.";
const REQUESTED_DURATION_HELP: &str = "expirationSeconds is the requested duration of validity of the issued certificate. The certificate signer \
    may issue a certificate with a different validity duration so a client must check the delta between the \
    notBefore and and notAfter fields in the issued certificate to determine the actual duration.\n\nThe v1.22+ \
    in-tree implementations of the well-known Kubernetes signers will honor this field as long as the requested \
    duration is not greater than the maximum duration they will honor per the --cluster-signing-duration CLI \
    flag to the Kubernetes controller manager.\n\nCertificate signers may not honor this field for various \
    reasons:\n\n  1. Old signer that is unaware of the field (such as the in-tree\n     implementations prior to \
    v1.22)\n  2. Signer whose configured maximum is shorter than the requested duration\n  3. Signer whose \
    configured minimum is longer than the requested duration\n\nThe minimum valid value for expirationSeconds is \
    600, i.e. 10 minutes.";

pub(super) fn resource() -> Resource {
    kind(
        "certificates.k8s.io",
        "v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
    )
    .cluster_wide()
    .short(&["csr"])
    .with_status()
    .with_part("approval", Role::Update, &[Verb::Get, Verb::Patch, Verb::Update])
    .shown_by(vec![
        name(),
        age(),
        text("SignerName", SIGNER_NAME_HELP, |object, _| {
            or_none(read::text(object, "spec.signerName"))
        }),
        field("Requestor", "spec.username", "Base64-encoded PKCS#10 CSR data"),
        text("RequestedDuration", REQUESTED_DURATION_HELP, duration),
        text(
            "Condition",
            "Conditions applied to the request, such as approval or denial.",
            condition,
        ),
    ])
    .selected_by(vec![SelectableField::path("spec.signerName")])
    .ruled_by(Rules)
}

fn duration(object: &Value, _: Timestamp) -> Value {
    match read::integer(object, "spec.expirationSeconds") {
        Some(seconds) => time::human_duration(seconds).into(),
        None => or_none(""),
    }
}

fn condition(object: &Value, _: Timestamp) -> Value {
    let has = |kind| read::condition(object, kind).is_some();
    let mut words = vec![match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }];
    if has("Failed") {
        words.push("Failed");
    }
    if !read::text(object, "status.certificate").is_empty() {
        words.push("Issued");
    }
    words.join(",").into()
}

/// The requester is whoever sends the create; conditions change by `approval`, certificates by `status`.
#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn name_check(&self) -> NameCheck {
        names::path_segment
    }

    fn prepare_create(&self, object: &mut Value, context: &Context) {
        let spec = meta::object_mut(meta::member_mut(object, "spec"));
        for field in ["username", "uid", "groups", "extra"] {
            spec.remove(field);
        }
        let user = &context.user;
        spec.insert("username".to_owned(), user.username.clone().into());
        spec.insert("groups".to_owned(), json!(user.groups));
        if !user.uid.is_empty() {
            spec.insert("uid".to_owned(), user.uid.clone().into());
        }
        if !user.extra.is_empty() {
            spec.insert("extra".to_owned(), json!(user.extra));
        }
        meta::object_mut(object).insert("status".to_owned(), json!({}));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        keep(new, old, "spec");
        keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, context: &Context) {
        signing::stamp(new, old, context.now);
    }

    fn prepare_subresource_update(&self, _: &str, new: &mut Value, old: &Value, context: &Context) {
        keep(new, old, "spec");
        // The certificate is the signer's; approvers change conditions only.
        let certificate = read::text(old, "status.certificate").to_owned();
        let status = meta::object_mut(meta::member_mut(new, "status"));
        status.remove("certificate");
        if !certificate.is_empty() {
            status.insert("certificate".to_owned(), certificate.into());
        }
        signing::stamp(new, old, context.now);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        signing::request(object)
    }

    fn validate_update(&self, _: &Value, _: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        signing::status_update(new, old)
    }

    fn validate_subresource_update(&self, _: &str, new: &Value, old: &Value) -> Vec<FieldError> {
        signing::approval_update(new, old)
    }
}
