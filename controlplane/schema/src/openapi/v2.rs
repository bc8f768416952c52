//! The OpenAPI v2 document: one for all groups, made of the documents of version 3.
//!
//! kubectl checks manifests on its side against it where it cannot leave that to the server (lists of kind `List`,
//! and releases before 1.25), and generators of clients read it.

use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// What a request may be written in, but for patches.
const ANY: &str = "*/*";
/// What an answer is written in.
const PRODUCES: [&str; 2] = ["application/json", "application/yaml"];

/// The OpenAPI v2 document of all that `documents`, made by [`openapi_v3`](super::openapi_v3), describe.
/// Costs tens of milliseconds: cache it.
#[must_use]
pub fn openapi_v2<'a>(documents: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut paths = Fields::new();
    let mut definitions = Fields::new();
    for document in documents {
        for (path, item) in members(document, "/paths") {
            paths.insert(path.clone(), path_item(item));
        }
        for (name, schema) in members(document, "/components/schemas") {
            definitions
                .entry(name.clone())
                .or_insert_with(|| converted(schema));
        }
    }
    json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": "v1.36.0" },
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {
            "BearerToken": {
                "description": "Bearer Token authentication",
                "type": "apiKey", "name": "authorization", "in": "header",
            },
        },
        "security": [{ "BearerToken": [] }],
    })
}

fn members<'a>(document: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    document
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn path_item(item: &Value) -> Value {
    let member = |(name, value): (&String, &Value)| {
        let value = match name.as_str() {
            "parameters" => parameters(value).into(),
            _ => operation(value),
        };
        (name.clone(), value)
    };
    item.as_object().into_iter().flatten().map(member).collect()
}

fn operation(operation: &Value) -> Value {
    let mut out = Fields::new();
    for (name, value) in operation.as_object().into_iter().flatten() {
        match name.as_str() {
            // Both follow from the bodies.
            "parameters" | "requestBody" => {}
            "responses" => drop(out.insert(name.clone(), responses(value))),
            _ => drop(out.insert(name.clone(), value.clone())),
        }
    }
    let mut taken = operation.get("parameters").map(parameters).unwrap_or_default();
    let mut consumes = vec![ANY];
    if let Some(body) = operation.get("requestBody") {
        let forms = members(body, "/content");
        let (kinds, schemas): (Vec<&String>, Vec<&Value>) = forms.unzip();
        consumes = kinds.into_iter().map(String::as_str).collect();
        taken.insert(0, body_parameter(body, schemas.first().copied()));
    }
    out.insert("consumes".into(), json!(consumes));
    out.insert("produces".into(), produces(operation));
    out.insert("schemes".into(), json!(["https"]));
    if !taken.is_empty() {
        out.insert("parameters".into(), taken.into());
    }
    Value::Object(out)
}

/// The forms of the answer: those of an object, unless version 3 names text or a stream.
fn produces(operation: &Value) -> Value {
    let form = members(operation, "/responses/200/content").next();
    match form.map(|(form, _)| form.as_str()) {
        Some(form @ ("text/plain" | ANY)) => json!([form]),
        _ => json!(PRODUCES),
    }
}

/// The one schema of a body, which all its forms share.
fn body_parameter(body: &Value, form: Option<&Value>) -> Value {
    let mut parameter = Fields::new();
    parameter.insert("name".into(), "body".into());
    parameter.insert("in".into(), "body".into());
    if body.get("required") == Some(&Value::Bool(true)) {
        parameter.insert("required".into(), true.into());
    }
    let schema = form.and_then(|form| form.get("schema"));
    parameter.insert("schema".into(), schema.map_or_else(|| json!({}), converted));
    Value::Object(parameter)
}

/// Parameters of path and query: what version 3 says in `schema` stands beside the name.
fn parameters(list: &Value) -> Vec<Value> {
    let flat = |parameter: &Value| {
        let mut fields = parameter.as_object().cloned().unwrap_or_default();
        if let Some(Value::Object(schema)) = fields.remove("schema") {
            fields.extend(schema);
        }
        Value::Object(fields)
    };
    list.as_array().into_iter().flatten().map(flat).collect()
}

fn responses(responses: &Value) -> Value {
    let response = |(code, response): (&String, &Value)| {
        let mut out = Fields::new();
        let text = response.get("description").cloned();
        out.insert("description".into(), text.unwrap_or_default());
        let form = members(response, "/content").next();
        if let Some(schema) = form.and_then(|(_, form)| form.get("schema")) {
            out.insert("schema".into(), converted(schema));
        }
        (code.clone(), Value::Object(out))
    };
    responses
        .as_object()
        .into_iter()
        .flatten()
        .map(response)
        .collect()
}

/// A schema as version 2 has it: references into `definitions`, with what else is said beside them, and no `oneOf`.
fn converted(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else {
        return schema.clone();
    };
    let mut out = Fields::new();
    for (name, value) in fields {
        match name.as_str() {
            "$ref" => drop(out.insert(name.clone(), reference(value))),
            "allOf" => {
                let target = value.pointer("/0/$ref").unwrap_or(&Value::Null);
                out.insert("$ref".into(), reference(target));
            }
            // Quantities, and numbers that may be names: text to readers of version 2, who take numbers for it.
            "oneOf" => drop(out.insert("type".into(), "string".into())),
            "items" | "additionalProperties" => drop(out.insert(name.clone(), converted(value))),
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                let all = properties.map(|(name, schema)| (name.clone(), converted(schema)));
                out.insert(name.clone(), all.collect());
            }
            _ => drop(out.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(out)
}

fn reference(target: &Value) -> Value {
    let target = target.as_str().unwrap_or_default();
    target
        .replacen("#/components/schemas/", "#/definitions/", 1)
        .into()
}
