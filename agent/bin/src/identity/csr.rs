//! Certificates by CertificateSigningRequest.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use rcgen::{CertificateParams, DnType, SanType};

use super::Wish;
use super::files::{KeyPair, Store};

/// Longest wait for the signer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Makes a key, has it certified, and keeps both.
pub(super) async fn obtain(client: &Client, wish: &Wish, store: &Store) -> anyhow::Result<KeyPair> {
    let key = rcgen::KeyPair::generate().context("make a key")?;
    let request = request_pem(wish, &key)?;
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let object = CertificateSigningRequest {
        metadata: ObjectMeta {
            generate_name: Some("csr-".to_owned()),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.into_bytes()),
            signer_name: wish.signer.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), wish.usage.to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let made = api
        .create(&PostParams::default(), &object)
        .await
        .context("create a certificate request")?;
    let name = made.metadata.name.unwrap_or_default();
    let certificate_pem = tokio::time::timeout(PATIENCE, signed(api, &name))
        .await
        .with_context(|| format!("wait for certificate request {name} to be approved and signed"))??;
    let pair = KeyPair {
        certificate_pem,
        key_pem: key.serialize_pem(),
    };
    store.save(wish.file, &pair)?;
    Ok(pair)
}

fn request_pem(wish: &Wish, key: &rcgen::KeyPair) -> anyhow::Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "system:nodes");
    params
        .distinguished_name
        .push(DnType::CommonName, format!("system:node:{}", wish.node));
    if !wish.addresses.is_empty() {
        let name = wish.node.clone().try_into().context("node name as DNS name")?;
        params.subject_alt_names.push(SanType::DnsName(name));
        params
            .subject_alt_names
            .extend(wish.addresses.iter().map(|ip| SanType::IpAddress(*ip)));
    }
    params
        .serialize_request(key)
        .and_then(|request| request.pem())
        .context("make a certificate request")
}

/// Waits for the certificate of request `name`.
async fn signed(api: Api<CertificateSigningRequest>, name: &str) -> anyhow::Result<String> {
    let mut changes = agent_watch::object(api, name);
    while let Some(change) = changes.next().await {
        let Some(request) = change else { continue };
        let status = request.status.unwrap_or_default();
        let refused = status
            .conditions
            .iter()
            .flatten()
            .find(|c| matches!(c.type_.as_str(), "Denied" | "Failed"));
        if let Some(refused) = refused {
            let why = refused.message.as_deref().unwrap_or_default();
            return Err(anyhow!("certificate request {name} is {}: {why}", refused.type_));
        }
        if let Some(certificate) = status.certificate.filter(|c| !c.0.is_empty()) {
            return String::from_utf8(certificate.0).context("certificate is no text");
        }
    }
    Err(anyhow!("watch of certificate request {name} ended"))
}
