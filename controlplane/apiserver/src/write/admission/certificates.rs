//! What upstream's admission plugin `CertificateSubjectRestriction` does: nobody asks for a certificate by which he would be
//! above all rules.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use controlplane_api::ApiError;
use controlplane_pki::CsrFacts;
use serde_json::Value;

use super::forbidden;
use crate::call::Call;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const MASTERS: &str = "system:masters";

/// Checks whom a new request would make its owner.
///
/// # Errors
///
/// 403 for a member of the group of administrators, and for a request that cannot be read.
pub(super) fn check(call: &Call, request: &Value) -> Result<(), ApiError> {
    let text = |field: &str| request.pointer(field).and_then(Value::as_str).unwrap_or_default();
    if text("/spec/signerName") != SIGNER {
        return Ok(());
    }
    let pem = BASE64_STANDARD.decode(text("/spec/request")).unwrap_or_default();
    let facts = CsrFacts::parse(&pem).map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        forbidden(call, request, &format!("failed to parse CSR: {error}{cause}"))
    })?;
    if facts.organizations.iter().any(|group| group == MASTERS) {
        let why = format!("use of {SIGNER} signer with {MASTERS} group is not allowed");
        return Err(forbidden(call, request, &why));
    }
    Ok(())
}
