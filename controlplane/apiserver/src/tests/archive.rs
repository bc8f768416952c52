use controlplane_store::Retention;
use controlplane_store_sqlite::SqliteState;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

const QUERIES: &str = "/apis/floe.dev/v1/queries";

/// A server over a file, whose store keeps almost no history in memory.
async fn start() -> (TempDir, Api) {
    let folder = tempfile::tempdir().unwrap();
    let disk = SqliteState::open(&folder.path().join("store.db")).unwrap();
    let archive = disk.archive();
    let history = Retention {
        revisions: 1,
        ..Retention::default()
    };
    let options = Options {
        history,
        ..Options::default()
    };
    let store = Store::open(disk, options).unwrap();
    (folder, Api::of(store, Some(archive)).await)
}

fn config_map(text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"text": text}})
}

fn query(sql: &str) -> Value {
    json!({"apiVersion": "floe.dev/v1", "kind": "Query", "spec": {"sql": sql}})
}

fn version(answer: &Answer) -> String {
    answer.body["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_query_is_answered_and_not_stored() {
    let (_folder, api) = start().await;
    api.post(CONFIG_MAPS, &config_map("1")).await;
    let answer = api
        .post(
            QUERIES,
            &query("SELECT kind, name, actor FROM objects WHERE resource = 'configmaps'"),
        )
        .await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    assert_eq!(
        answer.body["status"],
        json!({"columns": ["kind", "name", "actor"], "rows": [["ConfigMap", "one", "admin"]], "truncated": false})
    );
    let stored = api
        .post(
            QUERIES,
            &query("SELECT count(*) FROM objects WHERE kind = 'Query'"),
        )
        .await;
    assert_eq!(stored.body["status"]["rows"], json!([[0]]));
    let limited = json!({"spec": {"sql": "SELECT 1 UNION SELECT 2", "limit": 1}});
    let answer = api.post(QUERIES, &limited).await;
    assert_eq!(answer.body["status"]["truncated"], json!(true));
    assert_eq!(answer.body["kind"], "Query");
}

#[tokio::test]
async fn a_query_that_is_none_is_refused_in_one_sentence() {
    let (_folder, api) = start().await;
    for (spec, expected) in [
        (
            json!({}),
            "spec.sql: Required value: a SELECT over objects, history, events or store",
        ),
        (
            json!({"sql": "SELEC 1"}),
            "spec.sql: Invalid value: \"SELEC 1\": near \"SELEC\": syntax error",
        ),
        (
            json!({"sql": "DELETE FROM objects"}),
            "spec.sql: Invalid value: \"DELETE FROM objects\": cannot modify objects because it is a view",
        ),
        (
            json!({"sql": "SELECT 1", "limit": 0}),
            "spec.limit: Invalid value: 0: must be between 1 and 10000, inclusive",
        ),
        (
            json!({"sql": "SELECT 1", "timeoutSeconds": 31}),
            "spec.timeoutSeconds: Invalid value: 31: must be between 1 and 30, inclusive",
        ),
    ] {
        let answer = api.post(QUERIES, &json!({"spec": spec})).await;
        assert_eq!(answer.code, 422, "{}", answer.body);
        let message = answer.body["message"].as_str().unwrap();
        assert_eq!(message, format!("Query.floe.dev \"\" is invalid: {expected}"));
    }
    let wrong = api.post(QUERIES, &json!({"spec": {"sql": 3}})).await;
    assert_eq!(
        (wrong.code, wrong.body["reason"].as_str()),
        (400, Some("BadRequest"))
    );
    let strict = format!("{QUERIES}?fieldValidation=Strict");
    let unknown = api
        .post(&strict, &json!({"spec": {"sql": "SELECT 1", "rows": 2}}))
        .await;
    assert!(
        unknown.body["message"]
            .as_str()
            .unwrap()
            .contains("unknown field \"spec.rows\""),
        "{}",
        unknown.body
    );
    let slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let answer = api
        .post(QUERIES, &json!({"spec": {"sql": slow, "timeoutSeconds": 1}}))
        .await;
    assert_eq!(
        (answer.code, answer.body["reason"].as_str()),
        (504, Some("Timeout"))
    );
    assert_eq!(api.get(QUERIES).await.code, 405);
}

#[tokio::test]
async fn only_administrators_query_and_take_backups() {
    let (_folder, api) = start().await;
    let secret = query("SELECT value FROM objects WHERE resource = 'secrets'");
    for (name, group) in [
        ("system:node:a", "system:nodes"),
        ("system:bootstrap:abcdef", "system:bootstrappers"),
        ("eve", "dev"),
    ] {
        let other = api.as_user(name, group);
        assert_eq!(other.post(QUERIES, &secret).await.code, 403, "{name}");
        assert_eq!(other.get("/backup").await.code, 403, "{name}");
    }
    assert_eq!(api.post(QUERIES, &secret).await.code, 201);
}

#[tokio::test]
async fn a_server_without_a_file_has_neither() {
    let api = Api::start().await;
    assert_eq!(api.post(QUERIES, &query("SELECT 1")).await.code, 404);
    assert_eq!(api.get("/backup").await.code, 404);
}

#[tokio::test]
async fn a_list_of_long_ago_reads_as_it_was() {
    let (_folder, api) = start().await;
    let created = version(&api.post(CONFIG_MAPS, &config_map("1")).await);
    let path = format!("{CONFIG_MAPS}/one");
    let changed = version(&api.put(&path, &config_map("2")).await);
    api.delete(&path).await;
    for text in ["4", "5", "6"] {
        let other = json!({"metadata": {"name": format!("other-{text}")}, "data": {"text": text}});
        api.post(CONFIG_MAPS, &other).await;
    }
    let at = |version: &str, more: &str| {
        format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact{more}")
    };
    for (version, text) in [(&created, "1"), (&changed, "2")] {
        let answer = api.get(&at(version, "")).await;
        assert_eq!(answer.code, 200, "{}", answer.body);
        assert_eq!(answer.body["metadata"]["resourceVersion"], **version);
        assert_eq!(answer.body["items"].as_array().unwrap().len(), 1);
        assert_eq!(answer.body["items"][0]["data"]["text"], text);
        assert_eq!(answer.body["items"][0]["metadata"]["resourceVersion"], **version);
    }
    let none = api.get(&at(&created, "&fieldSelector=metadata.name%3Dtwo")).await;
    assert_eq!(none.body["items"], json!([]));
    let table = api
        .get_as(&at(&changed, ""), "application/json;as=Table;v=v1;g=meta.k8s.io")
        .await;
    assert_eq!(table.body["rows"][0]["cells"][0], "one");
    let future = api.get(&at("99999", "")).await;
    assert_eq!(
        (future.code, future.body["reason"].as_str()),
        (504, Some("Timeout"))
    );
}

#[tokio::test]
async fn a_backup_is_the_whole_store_and_its_digest() {
    let (folder, api) = start().await;
    api.post(CONFIG_MAPS, &config_map("1")).await;
    let response = api.open("GET", "/backup", &[], Vec::new()).await;
    let (parts, body) = response.into_parts();
    assert_eq!(parts.status.as_u16(), 200);
    let bytes = body.collect().await.unwrap().to_bytes();
    assert_eq!(parts.headers["content-length"], bytes.len().to_string());
    let digest = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, Sha256::digest(&bytes));
    assert_eq!(parts.headers["repr-digest"], format!("sha-256=:{digest}:"));
    let file = folder.path().join("backup.db");
    std::fs::write(&file, &bytes).unwrap();
    let found = controlplane_store_sqlite::inspect(&file).unwrap();
    assert_eq!(found.resources["configmaps"].objects, 1);
    assert_eq!(api.post("/backup", &json!({})).await.code, 405);
}
