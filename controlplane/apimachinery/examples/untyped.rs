//! A client that knows no kind: what there is it learns from discovery, and objects are JSON throughout.
//!
//! `cargo run -p controlplane-apimachinery --example untyped` asks the server of the current kubeconfig.
#![expect(clippy::print_stdout, reason = "printing is what the example is for")]
#![expect(clippy::indexing_slicing, reason = "what is absent from JSON reads as null")]

use controlplane_apimachinery::meta;
use controlplane_apimachinery::patch::{MERGE, merge_diff};
use controlplane_apimachinery::selector::{LabelSelector, Operator, Requirement};
use controlplane_apimachinery::status::Status;
use http::Request;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    for line in run(kube::Client::try_default().await?).await? {
        println!("{line}");
    }
    Ok(())
}

/// Goes through the life of one object of a kind that it finds by its short name; says what it has seen.
///
/// # Errors
///
/// What the server answers with.
pub async fn run(client: kube::Client) -> Result<Vec<String>, Failure> {
    let mut said = Vec::new();
    let kind = discover(&client, "v1", "cm").await?;
    let collection = format!("/api/v1/namespaces/default/{}", kind.plural);
    said.push(format!("cm is {} at {collection}", kind.kind));

    let object = json!({"apiVersion": "v1", "kind": kind.kind,
        "metadata": {"generateName": "untyped-", "labels": {"app": "example"}}, "data": {"colour": "red", "size": "1"}});
    let created = send(&client, "POST", &collection, "application/json", &object).await?;
    let path = format!("{collection}/{}", meta::name(&created));

    // A change is made to a copy; the difference is what is sent.
    let mut wanted = created.clone();
    wanted["data"] = json!({"colour": "blue"});
    let patch = merge_diff(&created, &wanted);
    let patched = send(&client, "PATCH", &path, MERGE, &patch).await?;
    said.push(format!("{patch} makes data {}", patched["data"]));

    let selector = LabelSelector::from_requirements(vec![Requirement::new(
        "app",
        Operator::In,
        vec!["example".to_owned()],
    )?]);
    let query: String = form_urlencoded(&selector.to_string());
    let list = send(
        &client,
        "GET",
        &format!("{collection}?labelSelector={query}"),
        "",
        &Value::Null,
    )
    .await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let all_match = items.iter().all(|item| selector.matches_object(item));
    said.push(format!("{selector} finds it: {}", all_match && !items.is_empty()));

    send(&client, "DELETE", &path, "", &Value::Null).await?;
    if let Err(failure) = send(&client, "GET", &path, "", &Value::Null).await {
        let status = failure.downcast::<Refused>()?.0;
        said.push(format!("then the answer is {} {:?}", status.code, status.reason));
    }
    Ok(said)
}

/// A kind as discovery describes it.
struct Kind {
    kind: String,
    plural: String,
}

async fn discover(client: &kube::Client, version: &str, short_name: &str) -> Result<Kind, Failure> {
    let list = send(client, "GET", &format!("/api/{version}"), "", &Value::Null).await?;
    let resources = list["resources"].as_array().cloned().unwrap_or_default();
    let found = resources.iter().find(|resource| {
        let names = resource["shortNames"].as_array().into_iter().flatten();
        names.into_iter().any(|name| name == short_name)
    });
    let found = found.ok_or("no kind has that short name")?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Ok(Kind {
        kind: text("kind"),
        plural: text("name"),
    })
}

/// What the server refused, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
struct Refused(Status);

async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    media_type: &str,
    body: &Value,
) -> Result<Value, Failure> {
    let mut request = Request::builder().method(method).uri(path);
    if !media_type.is_empty() {
        request = request.header(CONTENT_TYPE, media_type);
    }
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let answer = client.send(request.body(body.into())?).await?;
    let failed = !answer.status().is_success();
    let bytes = answer.into_body().collect_bytes().await?;
    if failed {
        return Err(Refused(serde_json::from_slice(&bytes)?).into());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

/// A text as the value of a query.
fn form_urlencoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
