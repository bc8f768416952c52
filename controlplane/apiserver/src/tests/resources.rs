//! What is served, beside what Kubernetes serves: `resources.txt` has the facts.

use std::collections::BTreeSet;

use super::*;

/// What Kubernetes serves and this server does not, and what only it serves; each with the reason.
const DIFFERENCES: [(&str, &str); 2] = [
    (
        "missing apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition customresourcedefinition C \
         cdDglpuw crd,crds api-extensions",
        CUSTOM,
    ),
    (
        "missing apiextensions.k8s.io/v1 customresourcedefinitions/status CustomResourceDefinition - C gpu - -",
        CUSTOM,
    ),
];
const CUSTOM: &str = "custom resources come with a part of their own";

/// The letter of a verb in `resources.txt`.
fn letter(verb: &str) -> &str {
    match verb {
        "deletecollection" => "D",
        verb => verb.get(..1).unwrap(),
    }
}

fn texts(value: &Value, separator: &str) -> String {
    let items = value.as_array().into_iter().flatten();
    let text = items
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(separator);
    if text.is_empty() { "-".to_owned() } else { text }
}

/// One resource of discovery as a line of `resources.txt`.
fn line(api_version: &str, resource: &Value) -> String {
    let text = |field: &str| resource[field].as_str().unwrap_or_default();
    let foreign = [text("group"), text("version"), text("kind")];
    let kind = match foreign {
        ["", "", kind] => kind.to_owned(),
        foreign => foreign.join("/"),
    };
    let verbs: String = resource["verbs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|verb| letter(verb.as_str().unwrap()))
        .collect();
    let singular = if text("singularName").is_empty() {
        "-"
    } else {
        text("singularName")
    };
    let scope = if resource["namespaced"] == true { "N" } else { "C" };
    let (short, categories) = (
        texts(&resource["shortNames"], ","),
        texts(&resource["categories"], ","),
    );
    format!(
        "{api_version} {} {kind} {singular} {scope} {verbs} {short} {categories}",
        text("name")
    )
}

async fn served() -> BTreeSet<String> {
    let api = Api::start().await;
    let groups = api.get("/apis").await.body;
    let versions = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["versions"].as_array().unwrap().clone());
    let mut lists = vec![("v1".to_owned(), "/api/v1".to_owned())];
    lists.extend(versions.map(|version| {
        let name = version["groupVersion"].as_str().unwrap().to_owned();
        (name.clone(), format!("/apis/{name}"))
    }));
    let mut lines = BTreeSet::new();
    for (version, path) in lists {
        let list = api.get(&path).await.body;
        lines.extend(
            list["resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|resource| line(&version, resource)),
        );
    }
    lines
}

#[tokio::test]
async fn what_kubernetes_serves_is_served_but_for_named_differences() {
    let facts = include_str!("resources.txt").lines();
    let known: BTreeSet<String> = facts
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let served = served().await;
    let missing = known.difference(&served).map(|line| format!("missing {line}"));
    let own = served.difference(&known).map(|line| format!("only here {line}"));
    let found: Vec<String> = missing.chain(own).collect();
    let named: Vec<String> = DIFFERENCES.iter().map(|(line, _)| (*line).to_owned()).collect();
    assert_eq!(found, named, "{found:#?}");
}
