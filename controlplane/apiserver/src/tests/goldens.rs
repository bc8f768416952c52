//! What is asked of each kind, by each verb, and what is answered: `controlplane/apiserver/goldens/<group>/<resource>.yaml`.
//!
//! Each file is sent, request by request, to a server of its own, and each answer must be the one in the file.
//! `FLOE_GOLDENS=write cargo test -p controlplane-apiserver goldens` writes the files anew, with the smallest and the fullest
//! object that the corpus of the kind (`controlplane/api/tests/corpus`) accepts. Revisions, UIDs and what is drawn by lot
//! stand as words in parentheses; `(revision)` in a request is the one last answered.

pub(super) mod corpus;
mod scenario;

use std::path::{Path, PathBuf};

use http::header::{ACCEPT, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Exchange {
    /// What is shown.
    claim: String,
    /// Method and path.
    request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accept: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    body: Value,
    code: u16,
    answer: Value,
}

/// Asks, and remembers the last revision for requests that name one.
struct Asker {
    api: Api,
    revision: String,
    asked: Vec<Exchange>,
}

impl Asker {
    async fn start() -> Self {
        let (api, revision, asked) = (Api::start().await, String::new(), Vec::new());
        Self { api, revision, asked }
    }

    /// Sends the request of `exchange` and keeps it with its answer.
    async fn ask(&mut self, mut exchange: Exchange) -> &Exchange {
        let (method, path) = exchange.request.split_once(' ').unwrap();
        let mut headers = Vec::new();
        if let Some(accept) = &exchange.accept {
            headers.push((ACCEPT, accept.as_str()));
        }
        if let Some(kind) = &exchange.content_type {
            headers.push((CONTENT_TYPE, kind.as_str()));
        }
        let body = match &exchange.body {
            Value::Null => Vec::new(),
            body => body
                .to_string()
                .replace("(revision)", &self.revision)
                .into_bytes(),
        };
        let answer = self.api.send(method, path, &headers, body).await;
        // A list has a revision, too, which is none of its objects'.
        let metadata = &answer.body["metadata"];
        if let (Some(revision), Some(_)) = (metadata["resourceVersion"].as_str(), metadata["uid"].as_str()) {
            revision.clone_into(&mut self.revision);
        }
        exchange.code = answer.code;
        exchange.answer = answer.body;
        mask(&mut exchange.answer, "");
        shorten(&mut exchange.answer, &exchange.claim);
        self.asked.push(exchange);
        &self.asked[self.asked.len() - 1]
    }
}

/// Puts words in place of what differs from run to run.
fn mask(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| mask(value, key)),
        Value::Array(list) => list.iter_mut().for_each(|value| mask(value, key)),
        Value::Number(_) if matches!(key, "nodePort" | "healthCheckNodePort") => *value = "(port)".into(),
        Value::String(text) if key == "resourceVersion" && !text.is_empty() => *value = "(revision)".into(),
        Value::String(text) => {
            let words = text.split(' ').map(word).collect::<Vec<_>>().join(" ");
            *text = with_no_lot(&words);
        }
        _ => {}
    }
}

/// A text in which the volumes of tokens are called alike.
fn with_no_lot(text: &str) -> String {
    let volume = "kube-api-access-";
    let mut parts = text.split(volume);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |before, part| {
        format!("{before}{volume}(suffix){}", part.get(5..).unwrap_or_default())
    })
}

/// A word of a text, or what stands for it; of `KEY=VALUE`, in the value.
fn word(word: &str) -> String {
    let (key, value) = word
        .rsplit_once('=')
        .map_or(("", word), |(key, value)| (key, value));
    let shown = if uuid::Uuid::try_parse(value).is_ok() {
        "(uid)"
    } else if value.starts_with("10.43.") && value.parse::<std::net::Ipv4Addr>().is_ok() {
        "(address)"
    } else {
        value
    };
    if key.is_empty() {
        shown.to_owned()
    } else {
        format!("{key}={shown}")
    }
}

/// What is shown once is left out elsewhere: owners but where an object is made and applied, columns but in the first table.
fn shorten(value: &mut Value, claim: &str) {
    let Value::Object(map) = value else {
        if let Value::Array(list) = value {
            list.iter_mut().for_each(|value| shorten(value, claim));
        }
        return;
    };
    for (key, value) in map {
        match key.as_str() {
            "managedFields" if !matches!(claim, "is created" | "is applied") => *value = "(owners)".into(),
            "columnDefinitions" if claim != "is shown as a table" => *value = "(columns)".into(),
            _ => shorten(value, claim),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens")
}

fn text(asked: &[Exchange]) -> String {
    serde_yaml_ng::to_string(asked).unwrap()
}

/// The first exchange in which two files differ, for people.
fn difference(path: &Path, wanted: &[Exchange], found: &[Exchange]) -> Option<String> {
    let (wanted, found) = wanted.iter().zip(found).find(|(a, b)| a != b)?;
    let (wanted, found) = (
        text(std::slice::from_ref(wanted)),
        text(std::slice::from_ref(found)),
    );
    let lines: Vec<String> = wanted
        .lines()
        .zip(found.lines())
        .filter(|(wanted, found)| wanted != found)
        .take(3)
        .map(|(wanted, found)| format!("  wanted {wanted}\n  found  {found}"))
        .collect();
    let claim = wanted.lines().next().unwrap_or_default();
    Some(format!("{}: {claim}\n{}", path.display(), lines.join("\n")))
}

/// Sends what a file asks, to a server of its own.
async fn replay(path: &Path) -> Option<String> {
    let told = std::fs::read_to_string(path).unwrap();
    let wanted: Vec<Exchange> = serde_yaml_ng::from_str(&told).unwrap();
    let mut asker = Asker::start().await;
    for exchange in &wanted {
        asker.ask(exchange.clone()).await;
    }
    difference(path, &wanted, &asker.asked)
}

/// Every kind that is served has its file, and every answer is the file's.
#[tokio::test]
async fn each_kind_answers_each_verb_as_its_golden_says() {
    let writes = std::env::var("FLOE_GOLDENS").is_ok_and(|value| value == "write");
    let mut wrong = Vec::new();
    for resource in controlplane_api::builtin().iter() {
        let group = if resource.group.is_empty() {
            "core"
        } else {
            &resource.group
        };
        let name = format!("{}.{}.yaml", resource.plural, resource.version);
        let path = folder().join(group).join(name);
        if writes {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text(&scenario::of(resource).await)).unwrap();
        }
        if path.exists() {
            wrong.extend(replay(&path).await);
        } else {
            wrong.push(format!(
                "{}: is not there; FLOE_GOLDENS=write makes it",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// No file is about a kind that is not served.
#[test]
fn each_golden_is_of_a_kind_that_is_served() {
    let registry = controlplane_api::builtin();
    for group in std::fs::read_dir(folder()).into_iter().flatten() {
        let group = group.unwrap();
        for file in std::fs::read_dir(group.path()).unwrap() {
            let (file, group) = (file.unwrap().file_name(), group.file_name());
            let name = file.to_str().unwrap().trim_end_matches(".yaml");
            let (plural, version) = name.split_once('.').unwrap();
            let group = group.to_str().unwrap().replace("core", "");
            assert!(registry.find(&group, version, plural).is_some(), "{group} {name}");
        }
    }
}
