//! Asking the server in SQL: `queries.floe.dev`.

use anyhow::{Context, bail};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, Attempt, code, sentence};

const QUERIES: &str = "/apis/floe.dev/v1/queries";

/// What a query is answered with.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answer {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
    #[serde(default)]
    pub(super) truncated: bool,
}

/// What a query may cost; the server's own limits where it is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) rows: Option<u32>,
    pub(super) seconds: Option<u32>,
}

/// Asks; `what` says for whom, such as `read the history of pod web`.
pub(super) async fn ask(api: &Api, sql: &str, limits: Limits, what: &str) -> anyhow::Result<Answer> {
    let body = json!({
        "apiVersion": "floe.dev/v1", "kind": "Query",
        "spec": {"sql": sql, "limit": limits.rows, "timeoutSeconds": limits.seconds},
    });
    let answered = api.send(Method::POST, QUERIES, ("application/json", &body)).await;
    let answered = match answered {
        Err(error) if code(&error) == Some(404) => {
            bail!("{what}: the server answers no queries; it is of an older release")
        }
        Err(error) if code(&error) == Some(422) => {
            let told = sentence(error).to_string();
            bail!(
                "{what}: {}",
                told.strip_prefix("Query.floe.dev \"\" is invalid: ")
                    .unwrap_or(&told)
            )
        }
        answered => answered.attempt(|| what.to_owned())?,
    };
    let status = answered.get("status").cloned().unwrap_or_default();
    serde_json::from_value(status).with_context(|| format!("{what}: understand the server's answer"))
}

/// `text` as a literal in SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
