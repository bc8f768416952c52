//! The next step for one certificate request. Pure.

use std::time::Duration;

use controlplane_pki::{CsrFacts, LEAF_VALIDITY, SigningPolicy};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::rules::{Approval, SignerName, approval, validate};

/// Ages at which a request is removed, as upstream's cleaner has them.
const KEEP_DECIDED: SignedDuration = SignedDuration::from_hours(1);
const KEEP_PENDING: SignedDuration = SignedDuration::from_hours(24);
/// Shortest validity that is signed.
const SHORTEST: Duration = Duration::from_secs(600);

/// The one thing to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Write the condition `Approved` with this message.
    Approve(&'static str),
    /// Sign and write the certificate.
    Sign(SigningPolicy),
    /// Write the condition `Failed` with this message.
    Fail(String),
    /// Remove it: its time is over.
    Delete,
    /// Look again after this long, or when it changes.
    Wait(SignedDuration),
}

/// What is known about a request.
#[derive(Debug, Clone)]
pub(super) struct Observed<'a> {
    /// The request.
    pub(super) csr: &'a CertificateSigningRequest,
    /// What its PEM asks for, or why it cannot be read.
    pub(super) facts: Result<&'a CsrFacts, String>,
    /// The Node it names, where there is one.
    pub(super) node: Option<&'a Node>,
    /// The time.
    pub(super) now: Timestamp,
}

/// The next step; the same observation always gives the same one.
pub(super) fn plan(observed: &Observed<'_>) -> Step {
    let csr = observed.csr;
    let age = age(csr, observed.now);
    let keep = if is_decided(csr) {
        KEEP_DECIDED
    } else {
        KEEP_PENDING
    };
    if age >= keep {
        return Step::Delete;
    }
    let rest = keep - age;
    let Some(signer) = SignerName::parse(&csr.spec.signer_name) else {
        return Step::Wait(rest);
    };
    if has(csr, "Denied") || has(csr, "Failed") || has_certificate(csr) {
        return Step::Wait(rest);
    }
    let facts = match &observed.facts {
        Ok(facts) => facts,
        Err(words) if has(csr, "Approved") => return Step::Fail(words.clone()),
        Err(_) => return Step::Wait(rest),
    };
    match (has(csr, "Approved"), validate(signer, &csr.spec, facts)) {
        (true, Ok(())) => Step::Sign(SigningPolicy {
            usages: signer.usages(),
            validity: validity(csr),
        }),
        (true, Err(words)) => Step::Fail(words.to_owned()),
        (false, Err(_)) => Step::Wait(rest),
        (false, Ok(())) => match approval(signer, &csr.spec, facts, observed.node) {
            Approval::Yes(message) => Step::Approve(message),
            Approval::Person => Step::Wait(rest),
            Approval::NotYet => Step::Wait(rest.min(patience(age))),
        },
    }
}

/// How long to wait for a node to show its addresses: often at first, seldom later.
fn patience(age: SignedDuration) -> SignedDuration {
    (age / 4).clamp(SignedDuration::from_millis(250), SignedDuration::from_mins(1))
}

fn age(csr: &CertificateSigningRequest, now: Timestamp) -> SignedDuration {
    csr.metadata
        .creation_timestamp
        .as_ref()
        .map_or(SignedDuration::ZERO, |created| now.duration_since(created.0))
}

fn validity(csr: &CertificateSigningRequest) -> Duration {
    csr.spec
        .expiration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(LEAF_VALIDITY, |seconds| {
            Duration::from_secs(seconds).clamp(SHORTEST, LEAF_VALIDITY)
        })
}

fn is_decided(csr: &CertificateSigningRequest) -> bool {
    has(csr, "Denied") || has(csr, "Failed") || has_certificate(csr)
}

fn has(csr: &CertificateSigningRequest, condition: &str) -> bool {
    let conditions = csr
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|found| found.type_ == condition && found.status != "False")
}

fn has_certificate(csr: &CertificateSigningRequest) -> bool {
    csr.status
        .as_ref()
        .and_then(|status| status.certificate.as_ref())
        .is_some_and(|certificate| !certificate.0.is_empty())
}

#[cfg(test)]
mod tests;
