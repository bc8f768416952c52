//! `queries.floe.dev`: read-only SQL.

use std::time::Duration;

use bytes::Bytes;
use controlplane_api::{ApiError, FieldError, Path, meta};
use controlplane_store_sqlite::{Answer, Cell, Query, QueryError};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::archive::up_to_date;
use crate::call::Call;
use crate::reply::{self, Reply, bug};
use crate::write::intake::{self, Expected, Intake};

/// Rows of an answer, unless the query says otherwise, and most of them.
const ROWS: (u64, u64) = (1000, 10_000);
/// Seconds that a query may take, unless it says otherwise, and most of them.
const SECONDS: (u64, u64) = (5, 30);
/// Most bytes of an answer's cells.
const BYTES: usize = 8 << 20;

/// Answers the query in `bytes`.
///
/// # Errors
///
/// 422 for what is no query, 504 where it takes too long, 429 where too many are asked.
pub(crate) async fn answer(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let Intake {
        mut object,
        mut warnings,
        ..
    } = intake::read(&call, Expected::of(&call.resource), &media_type, &bytes)?;
    let query = read(&object).map_err(|error| invalid(&call, &object, error))?;
    let Some(archive) = &call.server.archive else {
        return Err(ApiError::no_such_path());
    };
    let time = query.time;
    warnings.extend(up_to_date(call.store()).await);
    let answered = archive.read("query the store", move |archive| archive.query(&query));
    let answer = answered.await?.map_err(|error| match &error {
        QueryError::Refused(_) | QueryError::TooLarge(_) => {
            let sql = object.pointer("/spec/sql").cloned().unwrap_or_default();
            invalid(
                &call,
                &object,
                Path::new("spec.sql").invalid(sql, error.to_string()),
            )
        }
        QueryError::TooSlow(_) => ApiError::timeout(&format!(
            "the query did not end within {} s: ask for less, or give it more in spec.timeoutSeconds",
            time.as_secs()
        )),
        QueryError::Failed(cause) => bug("query the store", cause),
    })?;
    let fields = meta::object_mut(&mut object);
    fields.entry("metadata").or_insert_with(|| json!({}));
    fields.insert("status".to_owned(), status(answer));
    let mut response = reply::encoded(StatusCode::CREATED, &object, call.accepted.encoding)?;
    reply::add_warnings(&mut response, &warnings);
    Ok(response)
}

fn invalid(call: &Call, object: &Value, error: FieldError) -> ApiError {
    ApiError::invalid(
        &call.resource.group,
        &call.resource.kind,
        meta::name(object),
        vec![error],
    )
}

fn read(object: &Value) -> Result<Query, FieldError> {
    let path = Path::new("spec");
    let none = Map::new();
    let spec = object.get("spec").and_then(Value::as_object).unwrap_or(&none);
    let sql = match spec.get("sql") {
        Some(Value::String(sql)) if !sql.trim().is_empty() => sql.clone(),
        None | Some(Value::String(_) | Value::Null) => {
            return Err(path
                .child("sql")
                .required("a SELECT over objects, history, events or store"));
        }
        Some(other) => return Err(path.child("sql").invalid(other.clone(), "must be text")),
    };
    let rows = number(spec, &path, "limit", ROWS)?;
    Ok(Query {
        sql,
        rows: usize::try_from(rows).unwrap_or(usize::MAX),
        bytes: BYTES,
        time: Duration::from_secs(number(spec, &path, "timeoutSeconds", SECONDS)?),
    })
}

fn number(
    spec: &Map<String, Value>,
    path: &Path,
    name: &str,
    (usual, most): (u64, u64),
) -> Result<u64, FieldError> {
    match spec.get(name) {
        None | Some(Value::Null) => Ok(usual),
        Some(given) => given
            .as_u64()
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| {
                path.child(name)
                    .invalid(given.clone(), format!("must be between 1 and {most}, inclusive"))
            }),
    }
}

fn status(answer: Answer) -> Value {
    let cell = |cell: Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => json!(number),
        Cell::Real(number) => json!(number),
        Cell::Text(text) => Value::String(text),
    };
    let rows: Vec<Value> = answer
        .rows
        .into_iter()
        .map(|row| row.into_iter().map(cell).collect())
        .collect();
    json!({"columns": answer.columns, "rows": rows, "truncated": answer.truncated})
}
