use std::fs;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;

use super::*;
use crate::{CertificateFacts, CsrFacts, KeyAndRequest, LEAF_VALIDITY, ServiceAccountKeys, peer_identity};

fn now() -> Timestamp {
    "2026-11-21T04:00:00Z".parse().unwrap()
}

fn after(seconds: u64) -> UnixTime {
    let start = u64::try_from(now().as_second()).unwrap();
    UnixTime::since_unix_epoch(Duration::from_secs(start + seconds))
}

struct Fixture {
    folder: tempfile::TempDir,
    authority: CertificateAuthority,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::load_or_create(folder.path(), "floe-ca", now()).unwrap();
    Fixture { folder, authority }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn roots(authority: &CertificateAuthority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der().unwrap()).unwrap();
    Arc::new(roots)
}

fn client_accepted(authority: &CertificateAuthority, pem: &str, at: UnixTime) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority), provider)
        .build()
        .unwrap();
    verifier.verify_client_cert(&der(pem), &[], at).is_ok()
}

fn server_accepted(authority: &CertificateAuthority, pem: &str, name: &str) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(authority), provider)
        .build()
        .unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier
        .verify_server_cert(&der(pem), &[], &name, &[], after(60))
        .is_ok()
}

fn node_request() -> Request {
    let dns = vec!["node-a".to_owned()];
    let request = Request::server("system:node:node-a", dns, vec!["10.1.2.3".parse().unwrap()]);
    Request {
        organizations: vec!["system:nodes".to_owned()],
        ..request
    }
}

fn policy(usages: Usages) -> SigningPolicy {
    SigningPolicy {
        usages,
        validity: LEAF_VALIDITY,
    }
}

#[test]
fn a_loaded_authority_is_the_one_that_was_made() {
    let made = fixture();
    let later = now() + jiff::SignedDuration::from_hours(24);
    let loaded = CertificateAuthority::load_or_create(made.folder.path(), "other", later).unwrap();
    assert_eq!(loaded.certificate_pem(), made.authority.certificate_pem());
    assert_eq!(loaded.public_key_hash(), made.authority.public_key_hash());
    let issued = loaded
        .issue(
            &Request::client("kubernetes-admin", Some("system:masters")),
            now(),
        )
        .unwrap();
    assert!(client_accepted(
        &made.authority,
        &issued.certificate_pem,
        after(60)
    ));
}

#[test]
fn a_client_certificate_is_good_for_clients_for_its_validity_only() {
    let Fixture { authority, .. } = fixture();
    let issued = authority
        .issue(
            &Request::client("kubernetes-admin", Some("system:masters")),
            now(),
        )
        .unwrap();
    let pem = &issued.certificate_pem;
    assert!(client_accepted(&authority, pem, after(0)));
    assert!(client_accepted(
        &authority,
        pem,
        after(LEAF_VALIDITY.as_secs() - 60)
    ));
    assert!(!client_accepted(
        &authority,
        pem,
        after(LEAF_VALIDITY.as_secs() + 60)
    ));
    assert!(!client_accepted(&fixture().authority, pem, after(60)));
    assert!(!server_accepted(&authority, pem, "kubernetes-admin"));
    let identity = peer_identity(&der(pem)).unwrap();
    assert_eq!(identity.common_name, "kubernetes-admin");
    assert_eq!(identity.organizations, ["system:masters"]);
}

#[test]
fn a_serving_certificate_is_good_for_its_names_and_addresses_only() {
    let Fixture { authority, .. } = fixture();
    let dns = vec!["kubernetes.default.svc".to_owned(), "localhost".to_owned()];
    let ip = vec!["10.43.0.1".parse().unwrap(), "::1".parse().unwrap()];
    let issued = authority
        .issue(&Request::server("kube-apiserver", dns, ip), now())
        .unwrap();
    for name in ["kubernetes.default.svc", "localhost", "10.43.0.1", "::1"] {
        assert!(
            server_accepted(&authority, &issued.certificate_pem, name),
            "{name}"
        );
    }
    assert!(!server_accepted(&authority, &issued.certificate_pem, "10.43.0.2"));
    assert!(!client_accepted(&authority, &issued.certificate_pem, after(60)));
}

#[test]
fn a_signed_request_keeps_subject_and_names_and_gets_the_policys_usages() {
    let Fixture { authority, .. } = fixture();
    let made = KeyAndRequest::generate(&node_request()).unwrap();
    let facts = CsrFacts::parse(made.csr_pem.as_bytes()).unwrap();
    assert_eq!(facts.common_name, "system:node:node-a");
    assert_eq!(facts.organizations, ["system:nodes"]);
    let pem = authority
        .sign_csr(made.csr_pem.as_bytes(), &policy(Usages::Server), now())
        .unwrap();
    let signed = CertificateFacts::parse(&pem).unwrap();
    assert_eq!(
        (signed.common_name, signed.organizations),
        (facts.common_name, facts.organizations)
    );
    assert_eq!(
        (signed.dns_names, signed.ip_addresses),
        (facts.dns_names, facts.ip_addresses)
    );
    assert!(server_accepted(&authority, &pem, "node-a"));
    assert!(server_accepted(&authority, &pem, "10.1.2.3"));
    assert!(!client_accepted(&authority, &pem, after(60)));
    let key = KeyPair::from_pem(&made.key_pem).unwrap();
    assert_eq!(
        identity::public_key_der(&pem).unwrap(),
        key.subject_public_key_info()
    );
}

#[test]
fn a_request_that_asks_to_be_an_authority_becomes_none() {
    let Fixture { authority, .. } = fixture();
    let key = KeyPair::generate().unwrap();
    let csr = crate::params::authority("evil", now())
        .serialize_request(&key)
        .unwrap();
    let pem = authority
        .sign_csr(csr.der(), &policy(Usages::Client), now())
        .unwrap();
    let der = der(&pem);
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(!parsed.is_ca());
    let usage = parsed.key_usage().unwrap().unwrap();
    assert!(!usage.value.key_cert_sign());
}

#[test]
fn a_request_that_was_changed_after_signing_is_refused() {
    let Fixture { authority, .. } = fixture();
    let made = KeyAndRequest::generate(&node_request()).unwrap();
    let csr =
        rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(made.csr_pem.as_bytes()).unwrap();
    let mut bytes = csr.to_vec();
    let at = bytes.windows(6).position(|window| window == b"node-a").unwrap();
    bytes[at + 5] = b'b';
    assert!(matches!(CsrFacts::parse(&bytes), Err(PkiError::BadRequest)));
    assert!(
        authority
            .sign_csr(&bytes, &policy(Usages::Client), now())
            .is_err()
    );
}

#[test]
fn a_subject_with_two_groups_is_refused_rather_than_cut() {
    let Fixture { authority, .. } = fixture();
    let request = Request {
        organizations: vec!["a".into(), "b".into()],
        ..Request::client("x", None)
    };
    assert!(matches!(
        authority.issue(&request, now()),
        Err(PkiError::ManyOrganizations { .. })
    ));
}

#[test]
fn a_lost_key_or_a_foreign_certificate_is_never_replaced() {
    let (one, two) = (fixture(), fixture());
    let load = |fixture: &Fixture| CertificateAuthority::load_or_create(fixture.folder.path(), "x", now());
    fs::copy(two.folder.path().join("ca.crt"), one.folder.path().join("ca.crt")).unwrap();
    assert!(matches!(load(&one), Err(PkiError::NotAPair { .. })));
    fs::remove_file(one.folder.path().join("ca.key")).unwrap();
    assert!(matches!(load(&one), Err(PkiError::KeyMissing { .. })));
    fs::write(two.folder.path().join("ca.key"), "damaged").unwrap();
    assert!(matches!(load(&two), Err(PkiError::Damaged { .. })));
}

#[test]
fn a_crash_before_the_certificate_was_written_is_made_good() {
    let made = fixture();
    fs::remove_file(made.folder.path().join("ca.crt")).unwrap();
    let again = CertificateAuthority::load_or_create(made.folder.path(), "floe-ca", now()).unwrap();
    assert_eq!(again.public_key_hash(), made.authority.public_key_hash());
}

#[test]
fn renewal_is_due_before_the_end() {
    let Fixture { authority, .. } = fixture();
    let issued = authority.issue(&Request::client("x", None), now()).unwrap();
    let facts = CertificateFacts::parse(&issued.certificate_pem).unwrap();
    assert!(facts.not_before < now() && now() < facts.renew_at() && facts.renew_at() < facts.not_after);
}

#[test]
fn debug_prints_no_key() {
    let Fixture { authority, .. } = fixture();
    let issued = authority.issue(&Request::client("x", None), now()).unwrap();
    let made = KeyAndRequest::generate(&node_request()).unwrap();
    let keys = ServiceAccountKeys::load_or_create(tempfile::tempdir().unwrap().path()).unwrap();
    for shown in [
        format!("{issued:?}"),
        format!("{made:?}"),
        format!("{keys:?}"),
        format!("{authority:?}"),
    ] {
        assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    }
}

#[test]
fn service_account_keys_stay_and_their_public_half_is_kept_beside() {
    let folder = tempfile::tempdir().unwrap();
    let made = ServiceAccountKeys::load_or_create(folder.path()).unwrap();
    fs::remove_file(folder.path().join("sa.pub")).unwrap();
    assert_eq!(ServiceAccountKeys::load_or_create(folder.path()).unwrap(), made);
    assert_eq!(
        fs::read_to_string(folder.path().join("sa.pub")).unwrap(),
        made.public_pem()
    );
}
