//! The verbs, asked of a whole server in this process over a store in memory.

mod access;
mod accounts;
mod admission;
mod agent;
mod allocations;
mod applies;
mod archive;
mod bad_bodies;
mod conformance;
mod deletes;
mod directives;
mod evictions;
mod fabric8;
mod front;
mod goldens;
mod issuer;
mod lives;
mod meta;
mod metrics;
mod network;
mod properties;
mod protobuf;
mod proxy;
mod quotas;
mod reads;
mod resizes;
mod resources;
mod reviews;
mod services;
mod upstream;
mod watches;
mod webhooks;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use controlplane_api::UserInfo;
use controlplane_store::{MemoryState, Options, Retention, Store};
use controlplane_store_sqlite::Archive;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::Service;

use crate::{ApiServer, Bootstrap, InProcess, ManualClock, Parts, PodNetworks, Trouble};

/// When time begins.
const BEGIN: &str = "2026-01-02T03:04:05Z";
const PODS: &str = "/api/v1/namespaces/default/pods";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Keys for tokens of service accounts, each time others.
fn accounts() -> controlplane_pki::ServiceAccountKeys {
    let folder = tempfile::tempdir().unwrap();
    controlplane_pki::ServiceAccountKeys::load_or_create(folder.path()).unwrap()
}

/// A server and one user of it.
#[derive(Debug, Clone)]
struct Api {
    server: ApiServer,
    service: InProcess,
    clock: Arc<ManualClock>,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    code: u16,
    headers: http::HeaderMap,
    body: Value,
}

/// Metrics of a process that counts one thing.
fn counted() -> crate::Metrics {
    let mut metrics = crate::Metrics::default();
    let counter = prometheus_client::metrics::counter::Counter::<u64>::default();
    metrics.register("store_things", "Things that were stored", counter.clone());
    counter.inc_by(7);
    metrics
}

impl Api {
    async fn start() -> Self {
        Self::over(MemoryState::default()).await
    }

    /// As [`Api::start`], and from then on time stands still but for those who wait for it. The store is a thread, for which
    /// a paused clock does not wait: writes want [`tokio::time::resume`].
    async fn start_paused() -> Self {
        let api = Self::start().await;
        tokio::time::pause();
        api
    }

    async fn over(disk: MemoryState) -> Self {
        // Values expire by the store's clock, which must not be ahead of the server's.
        let options = Options {
            clock: Arc::new(controlplane_store::ManualClock::at(
                BEGIN
                    .parse::<jiff::Timestamp>()
                    .unwrap()
                    .as_second()
                    .cast_unsigned(),
            )),
            ..Options::default()
        };
        Self::of(Store::open(disk, options).unwrap(), None).await
    }

    /// A server that forgets what was before each write.
    async fn forgetful() -> Self {
        let history = Retention {
            revisions: 1,
            ..Retention::default()
        };
        let options = Options {
            history,
            ..Options::default()
        };
        Self::of(Store::open(MemoryState::default(), options).unwrap(), None).await
    }

    async fn of(store: Store, archive: Option<Archive>) -> Self {
        Self::with(store, archive, None).await
    }

    async fn with(store: Store, archive: Option<Archive>, nodes: Option<crate::NodeClient>) -> Self {
        let clock = Arc::new(ManualClock::at(BEGIN.parse().unwrap()));
        let server = ApiServer::new(Parts {
            registry: controlplane_api::builtin(),
            store,
            archive,
            trouble: Trouble::default(),
            schemas: controlplane_schema::builtin(),
            clock: Arc::<ManualClock>::clone(&clock),
            pods: PodNetworks {
                range: "10.42.0.0/16".parse().unwrap(),
                node_mask: 24,
            },
            service_cidr: "10.43.0.0/16".parse().unwrap(),
            cluster_dns: "10.43.0.10".parse().unwrap(),
            nodes,
            accounts: Some(accounts()),
            metrics: counted(),
        });
        let token = Some(controlplane_pki::BootstrapToken::parse("abcdef.0123456789abcdef").unwrap());
        server
            .bootstrap(&Bootstrap {
                advertise: "10.0.0.1:6443".parse().unwrap(),
                token,
            })
            .await
            .unwrap();
        let own = "10.0.0.1:6443".parse().unwrap();
        server.publish(&[own].into()).await.unwrap();
        let service = server.in_process(user("admin", "system:masters"));
        let api = Self {
            server,
            service,
            clock,
        };
        // A controller makes it in a whole cluster; pods are refused without.
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        assert!(matches!(api.post(ACCOUNTS, &account).await.code, 201 | 409));
        api
    }

    fn as_user(&self, name: &str, group: &str) -> Self {
        Self {
            service: self.server.in_process(user(name, group)),
            ..self.clone()
        }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(http::HeaderName, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let response = self.open(method, path, headers, body).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer {
            code: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(http::HeaderName, &str)],
        body: Vec<u8>,
    ) -> axum::response::Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let Ok(response) = self
            .service
            .clone()
            .call(request.body(Body::from(body)).unwrap())
            .await;
        response
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Vec::new()).await
    }

    async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send("GET", path, &[(ACCEPT, accept)], Vec::new()).await
    }

    async fn post(&self, path: &str, object: &Value) -> Answer {
        self.send(
            "POST",
            path,
            &[(CONTENT_TYPE, "application/json")],
            object.to_string().into_bytes(),
        )
        .await
    }

    async fn put(&self, path: &str, object: &Value) -> Answer {
        self.send(
            "PUT",
            path,
            &[(CONTENT_TYPE, "application/json")],
            object.to_string().into_bytes(),
        )
        .await
    }

    async fn patch(&self, path: &str, kind: &str, patch: &Value) -> Answer {
        let content_type = format!("application/{kind}");
        self.send(
            "PATCH",
            path,
            &[(CONTENT_TYPE, &content_type)],
            patch.to_string().into_bytes(),
        )
        .await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Vec::new()).await
    }

    async fn watch(&self, path: &str) -> Events {
        self.watch_as(path, "application/json").await
    }

    async fn watch_as(&self, path: &str, accept: &str) -> Events {
        let response = self.open("GET", path, &[(ACCEPT, accept)], Vec::new()).await;
        assert_eq!(response.status(), 200, "{path}");
        Events {
            body: response.into_body(),
            buffer: Vec::new(),
        }
    }
}

/// The events of an open watch.
#[derive(Debug)]
struct Events {
    body: Body,
    buffer: Vec<u8>,
}

impl Events {
    /// The next event; none at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(Duration::from_secs(90), self.body.frame())
                .await
                .unwrap()?;
            self.buffer
                .extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }

    /// The next event as `TYPE name`.
    async fn words(&mut self) -> String {
        let event = self.next().await.unwrap();
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or("-");
        format!("{} {name}", event["type"].as_str().unwrap())
    }
}

fn user(name: &str, group: &str) -> UserInfo {
    let groups = vec![group.to_owned(), "system:authenticated".to_owned()];
    UserInfo {
        username: name.to_owned(),
        groups,
        ..UserInfo::default()
    }
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": name}}, "data": {"k": "v"}})
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    })
}

/// A pod bound to node `n1`.
async fn bound_pod(api: &Api, name: &str) -> Value {
    assert_eq!(api.post(PODS, &pod(name)).await.code, 201);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"},
    });
    assert_eq!(
        api.post(&format!("{PODS}/{name}/binding"), &binding).await.code,
        201
    );
    api.get(&format!("{PODS}/{name}")).await.body
}

/// Code and message of an answer that refuses.
fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.code, answer.body["message"].as_str().unwrap_or_default())
}
