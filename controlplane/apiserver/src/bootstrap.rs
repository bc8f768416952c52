//! The first objects: namespaces, the Service of the API itself, the bootstrap token, upstream's standard ones.

mod standard;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use controlplane_api::UserInfo;
use controlplane_pki::BootstrapToken;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::Service;
use tracing::warn;

use crate::server::ApiServer;

/// What the first objects are made of.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// Where nodes and pods reach this server.
    pub advertise: SocketAddr,
    /// The token with which machines join; its Secret is made and kept equal to it.
    pub token: Option<BootstrapToken>,
}

/// Why a first object could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// The server refused it.
    #[error("create {path}: {message}")]
    Refused {
        /// Path of the object.
        path: String,
        /// The server's words.
        message: String,
    },
    /// The service range has no first address.
    #[error("find the first address of the service range")]
    NoAddress,
}

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

impl ApiServer {
    /// Makes the objects that every cluster has, where they are missing.
    ///
    /// # Errors
    ///
    /// Where the server itself refuses one, such as on a full disk.
    pub async fn bootstrap(&self, wanted: &Bootstrap) -> Result<(), BootstrapError> {
        for name in NAMESPACES {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            self.ensure("/api/v1/namespaces", name, &object).await?;
        }
        self.ensure(
            "/api/v1/namespaces/default/services",
            "kubernetes",
            &self.service(wanted)?,
        )
        .await?;
        self.ensure_dns().await?;
        self.ensure_standard().await?;
        if let Some(token) = &wanted.token {
            let name = format!("bootstrap-token-{}", token.id());
            self.replace(
                "/api/v1/namespaces/kube-system/secrets",
                &name,
                &secret(&name, token),
            )
            .await?;
        }
        Ok(())
    }

    /// Says where the Service `kubernetes` leads: to all of `at`, which have one port and are of one family. Nothing is
    /// said where that is nowhere.
    ///
    /// # Errors
    ///
    /// Where the server itself refuses, such as on a full disk.
    pub async fn publish(&self, at: &BTreeSet<SocketAddr>) -> Result<(), BootstrapError> {
        let Some(port) = at.first().map(SocketAddr::port) else {
            return Ok(());
        };
        let endpoints = "/api/v1/namespaces/default/endpoints";
        self.replace(endpoints, "kubernetes", &endpoints_object(at, port))
            .await?;
        let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        self.replace(slices, "kubernetes", &slice(at, port)).await
    }

    /// Says by which authorities other servers know whom this one lets in: extension API servers, and upstream's scheduler and
    /// controller manager, which do not start without. Both are certificates in PEM.
    ///
    /// # Errors
    ///
    /// Where the server itself refuses, such as on a full disk.
    pub async fn publish_authorities(&self, clients: &str, front_proxy: &str) -> Result<(), BootstrapError> {
        let name = "extension-apiserver-authentication";
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {
                "client-ca-file": clients,
                "requestheader-allowed-names": "[\"front-proxy-client\"]",
                "requestheader-client-ca-file": front_proxy,
                "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
                "requestheader-group-headers": "[\"X-Remote-Group\"]",
                "requestheader-uid-headers": "[\"X-Remote-Uid\"]",
                "requestheader-username-headers": "[\"X-Remote-User\"]",
            },
        });
        self.replace("/api/v1/namespaces/kube-system/configmaps", name, &object)
            .await
    }

    fn service(&self, wanted: &Bootstrap) -> Result<Value, BootstrapError> {
        let first: IpAddr = self
            .0
            .service_cidr
            .hosts()
            .next()
            .ok_or(BootstrapError::NoAddress)?;
        Ok(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "clusterIP": first.to_string(), "type": "ClusterIP",
                "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": wanted.advertise.port()}],
            },
        }))
    }

    /// Makes the Service by which the cluster's DNS is found. One that the operator has put in its place,
    /// at that address or under that name, is left alone.
    async fn ensure_dns(&self) -> Result<(), BootstrapError> {
        let address = self.0.cluster_dns.to_string();
        let folder = "/api/v1/namespaces/kube-system/services";
        if let (200, found) = self
            .send("GET", &format!("{folder}/kube-dns"), &Value::Null)
            .await
        {
            let found = found.pointer("/spec/clusterIP").and_then(Value::as_str);
            if found != Some(address.as_str()) {
                warn!(
                    found,
                    cluster_dns = address,
                    "the Service kube-system/kube-dns has another address than the cluster's DNS; delete it, and it \
                     is made anew at the next start"
                );
            }
            return Ok(());
        }
        match self.send("POST", folder, &dns(&address)).await {
            (201 | 409, _) => Ok(()),
            (422, answer) => {
                let error = message(&answer);
                warn!(error, "the cluster's DNS address belongs to another Service");
                Ok(())
            }
            (_, answer) => Err(refused(format!("{folder}/kube-dns"), &answer)),
        }
    }

    /// Looks before it creates: a Service that is there would be refused for the address it holds itself.
    async fn ensure(&self, folder: &str, name: &str, object: &Value) -> Result<(), BootstrapError> {
        let path = format!("{folder}/{name}");
        if let (200, _) = self.send("GET", &path, &Value::Null).await {
            return Ok(());
        }
        match self.send("POST", folder, object).await {
            (201 | 409, _) => Ok(()),
            (_, answer) => Err(refused(path, &answer)),
        }
    }

    async fn replace(&self, folder: &str, name: &str, object: &Value) -> Result<(), BootstrapError> {
        let path = format!("{folder}/{name}");
        match self.send("PUT", &path, object).await {
            (200 | 201, _) => Ok(()),
            (404, _) => self.ensure(folder, name, object).await,
            (_, answer) => Err(refused(path, &answer)),
        }
    }

    /// Sends a request to the server itself; answers with code and body.
    pub(crate) async fn send(&self, method: &str, path: &str, object: &Value) -> (u16, Value) {
        let groups = vec!["system:masters".to_owned()];
        let user = UserInfo {
            username: "system:apiserver".to_owned(),
            groups,
            ..UserInfo::default()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, "application/json");
        let Ok(request) = request.body(Body::from(object.to_string())) else {
            return (400, json!({"message": format!("{path} is no path")}));
        };
        let mut service = self.in_process(user);
        let Ok(response) = service.call(request).await;
        let code = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        (code, serde_json::from_slice(&body).unwrap_or_default())
    }
}

fn message(answer: &Value) -> &str {
    let message = answer.get("message").and_then(Value::as_str);
    message.unwrap_or_default()
}

fn refused(path: String, answer: &Value) -> BootstrapError {
    BootstrapError::Refused {
        path,
        message: message(answer).to_owned(),
    }
}

/// Labelled as kubeadm's, so that what looks for a cluster's DNS finds it. It has no selector: the server
/// is on every node at this address.
fn dns(address: &str) -> Value {
    let port = |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": 53, "targetPort": 53});
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system",
            "labels": {
                "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {
            "clusterIP": address, "type": "ClusterIP",
            "ports": [port("dns", "UDP"), port("dns-tcp", "TCP")],
        },
    })
}

fn endpoints_object(at: &BTreeSet<SocketAddr>, port: u16) -> Value {
    let addresses: Vec<Value> = at.iter().map(|at| json!({"ip": at.ip().to_string()})).collect();
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": addresses,
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }],
    })
}

fn slice(at: &BTreeSet<SocketAddr>, port: u16) -> Value {
    let endpoint =
        |at: &SocketAddr| json!({"addresses": [at.ip().to_string()], "conditions": {"ready": true}});
    let endpoints: Vec<Value> = at.iter().map(endpoint).collect();
    let is_ipv4 = at.iter().all(SocketAddr::is_ipv4);
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": if is_ipv4 { "IPv4" } else { "IPv6" },
        "endpoints": endpoints,
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    })
}

fn secret(name: &str, token: &BootstrapToken) -> Value {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": name, "namespace": "kube-system"},
        "data": {
            "token-id": encode(token.id()), "token-secret": encode(token.secret()),
            "usage-bootstrap-authentication": encode("true"), "usage-bootstrap-signing": encode("true"),
            "auth-extra-groups": encode("system:bootstrappers:floe:default-node-token"),
        },
    })
}
