//! Nodes' certificates.

use std::net::IpAddr;

use controlplane_pki::{KeyAndRequest, Request};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{Api, ObjectMeta, PostParams};

use crate::harness::Cluster;

const NODE: &str = "system:node:n1";

fn request(name: &str, signer: &str, usage: &str, pem: String) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: signer.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), usage.to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

fn serving(name: &str, address: &str) -> CertificateSigningRequest {
    let address: IpAddr = address.parse().unwrap();
    let mut wish = Request::server(NODE, vec!["n1".to_owned()], vec![address]);
    wish.organizations = vec!["system:nodes".to_owned()];
    let pem = KeyAndRequest::generate(&wish).unwrap().csr_pem;
    request(name, "kubernetes.io/kubelet-serving", "server auth", pem)
}

async fn is_signed(api: &Api<CertificateSigningRequest>, name: &str) -> bool {
    let status = api.get(name).await.unwrap().status.unwrap_or_default();
    status.certificate.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_a_token_becomes_a_node() {
    let cluster = Cluster::start().await;
    let token = cluster.client_as("system:bootstrap:abcdef", "system:bootstrappers");
    let wish = Request::client(NODE, Some("system:nodes"));
    let pem = KeyAndRequest::generate(&wish).unwrap().csr_pem;
    let signer = "kubernetes.io/kube-apiserver-client-kubelet";
    let requests: Api<CertificateSigningRequest> = Api::all(token);
    requests
        .create(
            &PostParams::default(),
            &request("join", signer, "client auth", pem),
        )
        .await
        .unwrap();
    let all: Api<CertificateSigningRequest> = Api::all(cluster.client.clone());
    cluster
        .until("the certificate is signed", || is_signed(&all, "join"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_gets_a_serving_certificate_for_its_own_address_only() {
    let cluster = Cluster::start().await;
    let requests: Api<CertificateSigningRequest> = Api::all(cluster.client_as(NODE, "system:nodes"));
    for (name, address) in [("forged", "10.43.0.1"), ("own", "10.0.0.7")] {
        requests
            .create(&PostParams::default(), &serving(name, address))
            .await
            .unwrap();
    }
    // The request is older than the Node, as when a node starts.
    cluster.add_node("n1", 1).await;
    let all: Api<CertificateSigningRequest> = Api::all(cluster.client.clone());
    cluster
        .until("its own address is signed", || is_signed(&all, "own"))
        .await;
    assert!(!is_signed(&all, "forged").await);
}
