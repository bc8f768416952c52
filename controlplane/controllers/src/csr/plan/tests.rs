use std::net::IpAddr;

use controlplane_pki::Usages;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequestCondition, CertificateSigningRequestSpec, CertificateSigningRequestStatus,
};
use k8s_openapi::api::core::v1::{NodeAddress, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_000_000, 0);
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";

fn csr(signer: &str, user: &str, group: &str, usages: &[&str]) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta {
            creation_timestamp: Some(Time(NOW)),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            signer_name: signer.into(),
            username: Some(user.into()),
            groups: Some(vec![group.into()]),
            usages: Some(usages.iter().map(ToString::to_string).collect()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

fn bootstrapping() -> CertificateSigningRequest {
    csr(
        CLIENT,
        "system:bootstrap:abcdef",
        "system:bootstrappers",
        &["digital signature", "client auth"],
    )
}

fn serving() -> CertificateSigningRequest {
    csr(
        SERVING,
        "system:node:n1",
        "system:nodes",
        &["digital signature", "server auth"],
    )
}

fn facts(dns: &[&str], ips: &[&str]) -> CsrFacts {
    CsrFacts {
        common_name: "system:node:n1".into(),
        organizations: vec!["system:nodes".into()],
        dns_names: dns.iter().map(ToString::to_string).collect(),
        ip_addresses: ips.iter().map(|raw| raw.parse::<IpAddr>().unwrap()).collect(),
        has_other_names: false,
    }
}

fn node() -> Node {
    Node {
        metadata: ObjectMeta {
            name: Some("n1".into()),
            ..ObjectMeta::default()
        },
        status: Some(NodeStatus {
            addresses: Some(vec![NodeAddress {
                address: "10.0.0.7".into(),
                type_: "InternalIP".into(),
            }]),
            ..NodeStatus::default()
        }),
        spec: None,
    }
}

fn step(csr: &CertificateSigningRequest, facts: &CsrFacts, node: Option<&Node>) -> Step {
    plan(&Observed {
        csr,
        facts: Ok(facts),
        node,
        now: NOW,
    })
}

fn with_condition(mut csr: CertificateSigningRequest, type_: &str) -> CertificateSigningRequest {
    let status = csr
        .status
        .get_or_insert_with(CertificateSigningRequestStatus::default);
    status
        .conditions
        .get_or_insert_with(Vec::new)
        .push(CertificateSigningRequestCondition {
            type_: type_.into(),
            status: "True".into(),
            ..CertificateSigningRequestCondition::default()
        });
    csr
}

#[test]
fn a_bootstrapping_node_gets_its_client_certificate() {
    let csr = bootstrapping();
    assert!(matches!(step(&csr, &facts(&[], &[]), None), Step::Approve(_)));
    let approved = with_condition(csr, "Approved");
    let Step::Sign(policy) = step(&approved, &facts(&[], &[]), None) else {
        panic!("an approved request is signed");
    };
    assert_eq!(policy.usages, Usages::Client);
}

#[test]
fn a_stranger_is_left_to_a_person() {
    let mut csr = bootstrapping();
    csr.spec.groups = Some(vec!["system:authenticated".into()]);
    assert!(matches!(step(&csr, &facts(&[], &[]), None), Step::Wait(_)));
}

#[test]
fn a_node_cannot_have_another_nodes_certificate() {
    let mut other = facts(&["n2"], &[]);
    other.common_name = "system:node:n2".into();
    assert!(matches!(step(&serving(), &other, Some(&node())), Step::Wait(_)));
}

#[test]
fn a_client_certificate_in_a_masters_name_is_never_approved_nor_signed() {
    let mut masters = facts(&[], &[]);
    masters.organizations = vec!["system:masters".into()];
    assert!(matches!(step(&bootstrapping(), &masters, None), Step::Wait(_)));
    let approved = with_condition(bootstrapping(), "Approved");
    assert!(matches!(step(&approved, &masters, None), Step::Fail(_)));
}

#[test]
fn a_serving_certificate_is_only_for_the_nodes_own_names() {
    let own = facts(&["n1"], &["10.0.0.7"]);
    assert!(matches!(step(&serving(), &own, Some(&node())), Step::Approve(_)));
    for foreign in [
        facts(&["kubernetes.default.svc"], &[]),
        facts(&["n1"], &["10.43.0.1"]),
    ] {
        assert!(matches!(step(&serving(), &foreign, Some(&node())), Step::Wait(_)));
    }
    assert!(matches!(step(&serving(), &own, None), Step::Wait(_)));
}

#[test]
fn usages_beyond_the_signers_are_refused() {
    let mut csr = serving();
    csr.spec.usages.as_mut().unwrap().push("client auth".into());
    let own = facts(&["n1"], &[]);
    assert!(matches!(step(&csr, &own, Some(&node())), Step::Wait(_)));
}

#[test]
fn old_requests_are_removed() {
    let mut csr = bootstrapping();
    csr.metadata.creation_timestamp = Some(Time(NOW - SignedDuration::from_hours(2)));
    csr.status = Some(CertificateSigningRequestStatus {
        certificate: Some(ByteString(b"pem".to_vec())),
        conditions: None,
    });
    assert_eq!(step(&csr, &facts(&[], &[]), None), Step::Delete);
}

#[test]
fn a_signed_request_leaves_nothing_to_do_but_to_wait() {
    let mut csr = with_condition(bootstrapping(), "Approved");
    csr.status.as_mut().unwrap().certificate = Some(ByteString(b"pem".to_vec()));
    assert_eq!(
        step(&csr, &facts(&[], &[]), None),
        Step::Wait(SignedDuration::from_hours(1))
    );
}
