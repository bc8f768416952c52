//! The exchanges of fabric8's Kubernetes client for Java, byte by byte as its HTTP library writes them
//! (`fabric8.http`): informers over WebSocket, JSON patch, generic resources, exec.

use bytes::Bytes;
use controlplane_store::{Options, Retention};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::proxy::World;

const EXCHANGES: &str = include_str!("fabric8.http");

/// The client, with a connection for each request.
struct Fabric8 {
    world: World,
    tasks: JoinSet<()>,
}

/// A whole answer.
struct Heard {
    code: u16,
    body: Value,
}

/// A request of the file, with `version` and its own length put in.
fn request(name: &str, version: &str) -> String {
    let found = EXCHANGES
        .split("### ")
        .find_map(|one| one.strip_prefix(name)?.strip_prefix('\n'));
    let (head, body) = found.unwrap().split_once("\n\n").unwrap();
    let body = body.trim_end();
    let head = head
        .replace("{version}", version)
        .replace("{length}", &body.len().to_string())
        .replace('\n', "\r\n");
    format!("{head}\r\n\r\n{body}")
}

impl Fabric8 {
    async fn new(options: Options) -> Self {
        let world = World::over(options).await;
        let tasks = JoinSet::new();
        Self { world, tasks }
    }

    /// Sends a request and reads the head of its answer: its first line, and the bytes behind it.
    async fn open(&mut self, name: &str, version: &str) -> (String, Vec<u8>, DuplexStream) {
        let mut connection = self.world.connection(&mut self.tasks);
        connection
            .write_all(request(name, version).as_bytes())
            .await
            .unwrap();
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = bytes.split_off(end + 4);
                return (String::from_utf8(bytes).unwrap(), rest, connection);
            }
            assert_ne!(
                connection.read_buf(&mut bytes).await.unwrap(),
                0,
                "{name} got no answer"
            );
        }
    }

    async fn ask(&mut self, name: &str) -> Heard {
        let (head, mut body, mut connection) = self.open(name, "").await;
        let lower = head.to_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        let length: usize = length.parse().unwrap();
        while body.len() < length {
            connection.read_buf(&mut body).await.unwrap();
        }
        Heard {
            code: head.split(' ').nth(1).unwrap().parse().unwrap(),
            body: serde_json::from_slice(&body).unwrap(),
        }
    }

    async fn socket(&mut self, name: &str, version: &str) -> (String, WebSocketStream<DuplexStream>) {
        let (head, rest, connection) = self.open(name, version).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let head = head.to_lowercase();
        // RFC 6455's own example of a key.
        assert!(
            head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{head}"
        );
        // Offered, not taken: frames are plain.
        assert!(!head.contains("permessage-deflate"), "{head}");
        let socket = WebSocketStream::from_partially_read(connection, rest, Role::Client, None);
        (head, socket.await)
    }
}

/// The next event of a watch; none at its end.
async fn event(socket: &mut WebSocketStream<DuplexStream>) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_informer_lists_and_watches_by_websocket_while_patches_are_made() {
    let mut client = Fabric8::new(Options::default()).await;
    let listed = client.ask("list").await;
    assert_eq!(listed.code, 200);
    let (_, mut watch) = client.socket("watch", &version(&listed.body)).await;
    let made = client.ask("create").await;
    assert_eq!((made.code, &made.body["data"]["key"]), (201, &json!("one")));
    let patched = client.ask("json-patch").await;
    assert_eq!((patched.code, &patched.body["data"]["key"]), (200, &json!("two")));
    let added = event(&mut watch).await.unwrap();
    assert_eq!(
        (&added["type"], &added["object"]["data"]["key"]),
        (&json!("ADDED"), &json!("one"))
    );
    let modified = event(&mut watch).await.unwrap();
    assert_eq!(modified["type"], "MODIFIED");
    assert_eq!(modified["object"]["metadata"]["labels"], json!({"edited": "yes"}));
    assert_eq!(version(&modified["object"]), version(&patched.body));
    client.world.api.server.drain().await;
    assert_eq!(event(&mut watch).await, None);
}

#[tokio::test]
async fn an_informer_that_comes_too_late_is_told_so_and_lists_again() {
    let history = Retention {
        revisions: 1,
        ..Retention::default()
    };
    let mut client = Fabric8::new(Options {
        history,
        ..Options::default()
    })
    .await;
    let listed = client.ask("list").await;
    client.ask("create").await;
    client.ask("json-patch").await;
    let (_, mut watch) = client.socket("watch", &version(&listed.body)).await;
    let told = event(&mut watch).await.unwrap();
    assert_eq!(
        (&told["type"], &told["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert_eq!(event(&mut watch).await, None);
    let again = client.ask("list").await.body;
    assert_eq!(again["items"].as_array().map(Vec::len), Some(1));
    client.socket("watch", &version(&again)).await;
}

#[tokio::test]
async fn generic_resources_are_found_by_discovery_made_listed_and_scaled() {
    let mut client = Fabric8::new(Options::default()).await;
    let found = client.ask("resources").await.body;
    let names: Vec<_> = found["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert!(names.contains(&&json!("deployments")), "{names:?}");
    assert_eq!(client.ask("generic-create").await.code, 201);
    let listed = client.ask("generic-list").await.body;
    assert_eq!(listed["items"][0]["metadata"]["name"], "web");
    let scaled = client.ask("generic-scale").await;
    assert_eq!(
        (scaled.code, &scaled.body["spec"]["replicas"]),
        (200, &json!(3)),
        "{}",
        scaled.body
    );
}

#[tokio::test]
async fn exec_speaks_version_4_in_channels() {
    let mut client = Fabric8::new(Options::default()).await;
    client.world.pod("web", "10.42.0.5").await;
    let (head, mut socket) = client.socket("exec", "").await;
    assert!(
        head.contains("sec-websocket-protocol: v4.channel.k8s.io"),
        "{head}"
    );
    let input = Message::Binary(Bytes::from_static(b"\0typed"));
    socket.send(input).await.unwrap();
    let mut said = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = message {
            said.push(String::from_utf8(bytes.to_vec()).unwrap());
        }
    }
    let asked = "/exec/default/web/c?command=sh&command=-c&command=echo%20hello&input=1&output=1&error=1";
    assert_eq!(
        said,
        [
            format!("\x01{asked}"),
            "\x01typed".to_owned(),
            "\x03{\"status\":\"Success\"}".to_owned()
        ]
    );
}
