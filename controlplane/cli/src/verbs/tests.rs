//! The verbs against a small server in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};

use clap::Parser;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::output::Colours;
use super::{Output, Verb};

/// Pods by path, and how often each was written.
#[derive(Debug, Default)]
struct Server {
    pods: BTreeMap<String, Value>,
    revision: u64,
    /// Pods that stay while a watch shows their deletion.
    lingering: bool,
    requests: Vec<String>,
}

const PODS: &str = "/api/v1/namespaces/default/pods";

impl Server {
    fn answer(&mut self, method: &Method, uri: &http::Uri, accept: &str, body: &[u8]) -> (StatusCode, Value) {
        let path = uri.path();
        self.requests.push(format!("{method} {uri}"));
        match (method.as_str(), path) {
            ("GET", "/api/v1") => (StatusCode::OK, resources()),
            ("GET", "/apis") => (StatusCode::OK, json!({"kind": "APIGroupList", "groups": []})),
            ("GET", PODS) if uri.query().is_some_and(|query| query.contains("watch=true")) => self.watch(),
            ("GET", PODS) => (StatusCode::OK, self.list(accept)),
            ("POST", PODS) => self.write(None, &serde_json::from_slice(body).unwrap()),
            ("GET", path) if path.ends_with("/events") => {
                (StatusCode::OK, json!({"kind": "EventList", "items": []}))
            }
            ("GET", path) => self.found(path, |pod| {
                if accept.contains("as=Table") {
                    table(&[pod])
                } else {
                    pod
                }
            }),
            ("PUT", path) => self.write(Some(path), &serde_json::from_slice(body).unwrap()),
            ("PATCH", path) => self.patch(path, &serde_json::from_slice(body).unwrap()),
            ("DELETE", path) => self.delete(path),
            other => panic!("{other:?}"),
        }
    }

    fn found(&self, path: &str, show: impl Fn(Value) -> Value) -> (StatusCode, Value) {
        let name = path.rsplit('/').next().unwrap_or_default();
        match self.pods.get(path) {
            Some(pod) => (StatusCode::OK, show(pod.clone())),
            None => (
                StatusCode::NOT_FOUND,
                refusal(404, "NotFound", &format!("pods \"{name}\" not found")),
            ),
        }
    }

    fn list(&self, accept: &str) -> Value {
        let items: Vec<Value> = self.pods.values().cloned().collect();
        if accept.contains("as=Table") {
            return table(&items);
        }
        json!({"kind": "PodList", "metadata": {"resourceVersion": self.revision.to_string()}, "items": items})
    }

    fn write(&mut self, path: Option<&str>, pod: &Value) -> (StatusCode, Value) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let path = path.map_or_else(|| format!("{PODS}/{name}"), str::to_owned);
        self.revision += 1;
        let mut pod = pod.clone();
        pod["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        pod["metadata"]["uid"] = json!(format!("uid-{name}"));
        self.pods.insert(path, pod.clone());
        (StatusCode::OK, pod)
    }

    fn patch(&mut self, path: &str, patch: &Value) -> (StatusCode, Value) {
        let mut pod = self.pods[path].clone();
        if patch["metadata"]["resourceVersion"] != pod["metadata"]["resourceVersion"] {
            return (
                StatusCode::CONFLICT,
                refusal(409, "Conflict", "the object has been modified"),
            );
        }
        merge(&mut pod, patch);
        self.write(Some(path), &pod)
    }

    fn delete(&mut self, path: &str) -> (StatusCode, Value) {
        let answer = self.found(path, |pod| pod);
        if !self.lingering {
            self.pods.remove(path);
        }
        answer
    }

    fn watch(&mut self) -> (StatusCode, Value) {
        let gone = std::mem::take(&mut self.pods);
        let pod = gone.into_values().next().unwrap();
        (StatusCode::OK, json!({"type": "DELETED", "object": pod}))
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

fn resources() -> Value {
    let pods = json!({"name": "pods", "singularName": "pod", "kind": "Pod", "namespaced": true, "verbs": [], "shortNames": ["po"]});
    json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [pods]})
}

fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn table(pods: &[Value]) -> Value {
    let row = |pod: &Value| json!({"cells": [pod["metadata"]["name"], "Running"], "object": {"metadata": pod["metadata"]}});
    json!({
        "kind": "Table", "metadata": {"resourceVersion": "1"},
        "columnDefinitions": [{"name": "Name"}, {"name": "Status"}],
        "rows": pods.iter().map(row).collect::<Vec<_>>(),
    })
}

/// What a verb wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

/// A user at a terminal without colours.
#[derive(Default)]
struct User {
    server: Arc<Mutex<Server>>,
    files: Option<tempfile::TempDir>,
}

impl User {
    async fn types(&self, words: &str) -> Result<String, String> {
        let line = Line::try_parse_from(std::iter::once("floe").chain(words.split_whitespace()));
        let line = line.map_err(|error| error.to_string())?;
        let written = Written::default();
        let out = Output::new(Box::new(written.clone()), Colours::Off);
        let done = super::run(self.client(), line.verb, out).await;
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        done.map(|()| text).map_err(|error| format!("{error:#}"))
    }

    fn client(&self) -> kube::Client {
        let server = Arc::clone(&self.server);
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = Arc::clone(&server);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let accept = head
                    .headers
                    .get("accept")
                    .map_or("", |accept| accept.to_str().unwrap());
                let (code, answer) = server
                    .lock()
                    .unwrap()
                    .answer(&head.method, &head.uri, accept, &body);
                let mut text = answer.to_string().into_bytes();
                text.push(b'\n');
                Ok::<_, Infallible>(Response::builder().status(code).body(Body::from(text)).unwrap())
            }
        });
        kube::Client::new(service, "default")
    }

    /// Writes a file and returns its path.
    fn file(&mut self, text: &str) -> String {
        let folder = self.files.get_or_insert_with(|| tempfile::tempdir().unwrap());
        let path = folder.path().join("pod.yaml");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn pod(&self, name: &str) -> Value {
        self.server
            .lock()
            .unwrap()
            .pods
            .get(&format!("{PODS}/{name}"))
            .cloned()
            .unwrap_or_default()
    }
}

const WEB: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: web:1}]}\n";

async fn with_web() -> User {
    let mut user = User::default();
    let file = user.file(WEB);
    assert_eq!(
        user.types(&format!("apply -f {file}")).await,
        Ok("pod/web created\n".to_owned())
    );
    user
}

#[tokio::test]
async fn apply_creates_then_changes_nothing_then_configures() {
    let mut user = with_web().await;
    let file = user.file(WEB);
    assert_eq!(
        user.types(&format!("apply -f {file}")).await,
        Ok("pod/web unchanged\n".to_owned())
    );
    let file = user.file(&WEB.replace("web:1", "web:2"));
    assert_eq!(
        user.types(&format!("apply -f {file}")).await,
        Ok("pod/web configured\n".to_owned())
    );
    assert_eq!(user.pod("web")["spec"]["containers"][0]["image"], "web:2");
}

#[tokio::test]
async fn get_prints_the_servers_table_or_the_object() {
    let user = with_web().await;
    let expected = "NAME   STATUS\nweb    Running\n";
    for words in [
        "get pods",
        "get po web",
        "get pod/web",
        "get pod default/web",
        "get po -l a=b",
    ] {
        assert_eq!(user.types(words).await.as_deref(), Ok(expected), "{words}");
    }
    assert_eq!(user.types("get po -o name").await.as_deref(), Ok("pod/web\n"));
    let object: Value = serde_json::from_str(&user.types("get po web -o json").await.unwrap()).unwrap();
    assert_eq!(object["spec"]["containers"][0]["image"], "web:1");
    let list: Value = serde_yaml_ng::from_str(&user.types("get po -o yaml").await.unwrap()).unwrap();
    assert_eq!(
        (&list["kind"], &list["items"][0]["kind"]),
        (&json!("List"), &json!("Pod"))
    );
}

#[tokio::test]
async fn errors_are_one_clear_sentence() {
    let mut user = with_web().await;
    let said = async |words: &str| user.types(words).await.unwrap_err();
    assert_eq!(
        said("get podz").await,
        "the server has no kind podz: did you mean pods?"
    );
    assert_eq!(said("get pod nope").await, "get pod nope: not found");
    assert_eq!(
        said("update pod nope --set spec.a=1 -n other").await,
        "update pod other/nope: not found"
    );
    assert_eq!(
        said("delete pods").await,
        "pods needs a name, a selector (-l) or --all"
    );
    assert_eq!(
        said("apply -f /nowhere.yaml").await,
        "read /nowhere.yaml: No such file or directory (os error 2)"
    );
    let file = user.file("apiVersion: v1\nkind: Pods\nmetadata: {name: a}\n");
    let error = user.types(&format!("apply -f {file}")).await.unwrap_err();
    assert_eq!(error, "the server has no kind Pods in v1: did you mean pods?");
}

#[tokio::test]
async fn delete_returns_when_the_object_is_gone() {
    let user = with_web().await;
    user.server.lock().unwrap().lingering = true;
    assert_eq!(
        user.types("delete pod web").await.as_deref(),
        Ok("pod/web deleted\n")
    );
    assert_eq!(user.pod("web"), Value::Null);
    let requests = user.server.lock().unwrap().requests.clone();
    assert!(
        requests.iter().any(|request| request.contains("watch=true")),
        "{requests:?}"
    );
    assert_eq!(
        user.types("delete pod web").await.unwrap_err(),
        "delete pod web: not found"
    );
    assert_eq!(
        user.types("delete pod web --ignore-not-found").await.as_deref(),
        Ok("")
    );
}

#[tokio::test]
async fn update_sets_fields_or_replaces() {
    let mut user = with_web().await;
    let done = user
        .types("update pod web --set spec.containers[name=web].image=web:3 --set metadata.labels.a=b")
        .await;
    assert_eq!(done.as_deref(), Ok("pod/web updated\n"));
    assert_eq!(user.pod("web")["spec"]["containers"][0]["image"], "web:3");
    assert_eq!(user.pod("web")["metadata"]["labels"], json!({"a": "b"}));
    let file = user.file(&WEB.replace("web:1", "web:4"));
    assert_eq!(
        user.types(&format!("update -f {file}")).await.as_deref(),
        Ok("pod/web replaced\n")
    );
    assert_eq!(user.pod("web")["metadata"].get("labels"), None);
    assert!(user.types("update pod web").await.is_err());
}

#[tokio::test]
async fn describe_tells_about_each_object() {
    let user = with_web().await;
    let text = user.types("describe pods").await.unwrap();
    assert!(text.starts_with("Name:                   web\n"), "{text}");
    assert!(
        text.contains("Image:") && text.ends_with("Events:  <none>\n"),
        "{text}"
    );
}
