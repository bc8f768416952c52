//! Writes an OpenAPI v2 document in its protobuf form (gnostic's `openapiv2/OpenAPIv2.proto`, package `openapi.v2`),
//! the only one that kubectl asks for.

use prost::encoding::{self, WireType};
use serde_json::Value;

/// The media type of the protobuf form, in an answer.
pub const OPENAPI_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The protobuf form of `document`, an OpenAPI v2 document as `openapi_v2` of controlplane-schema makes it. What
/// such documents do not have is left out.
#[must_use]
pub fn encode_openapi_v2(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document.get("swagger"));
    out.message(2, document.get("info").map(info));
    out.message(8, document.get("paths").map(|paths| named(2, paths, path_item)));
    out.message(9, document.get("definitions").map(|all| named(1, all, schema)));
    for requirement in elements(document.get("security")) {
        out.message(12, Some(named(1, requirement, texts)));
    }
    let definitions = document.get("securityDefinitions");
    out.message(13, definitions.map(|all| named(1, all, api_key)));
    out.0
}

/// A message in the making.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    /// Texts are left out where they are empty, as proto3 has it.
    fn text(&mut self, tag: u32, value: Option<&Value>) {
        if let Some(text) = value.and_then(Value::as_str).filter(|text| !text.is_empty()) {
            self.bytes(tag, text.as_bytes());
        }
    }

    fn flag(&mut self, tag: u32, value: Option<&Value>) {
        if value == Some(&Value::Bool(true)) {
            encoding::bool::encode(tag, &true, &mut self.0);
        }
    }

    fn message(&mut self, tag: u32, message: Option<Self>) {
        if let Some(message) = message {
            self.bytes(tag, &message.0);
        }
    }

    fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        encoding::encode_key(tag, WireType::LengthDelimited, &mut self.0);
        encoding::encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), &mut self.0);
        self.0.extend_from_slice(bytes);
    }

    /// What begins with `x-`, as `NamedAny`.
    fn extensions(&mut self, tag: u32, object: &Value) {
        let all = object.as_object().into_iter().flatten();
        for (name, value) in all.filter(|(name, _)| name.starts_with("x-")) {
            self.message(tag, Some(pair(name, any(value))));
        }
    }

    fn all(&mut self, tag: u32, list: Option<&Value>, write: fn(&Value) -> Self) {
        for element in elements(list) {
            self.message(tag, Some(write(element)));
        }
    }

    fn each_text(&mut self, tag: u32, list: Option<&Value>) {
        for element in elements(list) {
            self.bytes(tag, element.as_str().unwrap_or_default().as_bytes());
        }
    }
}

fn elements(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

/// A map as the messages of this format have it: pairs in the repeated field `tag`.
fn named(tag: u32, map: &Value, write: fn(&Value) -> Message) -> Message {
    let mut out = Message::default();
    for (name, value) in map.as_object().into_iter().flatten() {
        out.message(tag, Some(pair(name, write(value))));
    }
    out
}

fn pair(name: &str, value: Message) -> Message {
    let mut out = Message::default();
    out.bytes(1, name.as_bytes());
    out.message(2, Some(value));
    out
}

/// One of several messages, which is what `oneof` is on the wire.
fn one(tag: u32, message: Message) -> Message {
    let mut out = Message::default();
    out.message(tag, Some(message));
    out
}

/// Any value as YAML, of which JSON is a part.
fn any(value: &Value) -> Message {
    let mut out = Message::default();
    out.bytes(2, value.to_string().as_bytes());
    out
}

fn texts(list: &Value) -> Message {
    let mut out = Message::default();
    out.each_text(1, Some(list));
    out
}

fn info(info: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, info.get("title"));
    out.text(2, info.get("version"));
    out
}

fn api_key(item: &Value) -> Message {
    let mut out = Message::default();
    for (tag, name) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
        out.text(tag, item.get(name));
    }
    one(2, out)
}

fn path_item(item: &Value) -> Message {
    let mut out = Message::default();
    let methods = [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")];
    for (tag, name) in methods {
        out.message(tag, item.get(name).map(operation));
    }
    out.all(9, item.get("parameters"), parameter);
    out
}

fn operation(operation: &Value) -> Message {
    let mut out = Message::default();
    out.each_text(1, operation.get("tags"));
    out.text(3, operation.get("description"));
    out.text(5, operation.get("operationId"));
    out.each_text(6, operation.get("produces"));
    out.each_text(7, operation.get("consumes"));
    out.all(8, operation.get("parameters"), parameter);
    out.message(9, operation.get("responses").map(|all| named(1, all, response)));
    out.each_text(10, operation.get("schemes"));
    out.extensions(13, operation);
    out
}

/// `ParametersItem`: a `Parameter`, which has a body or is in the query or in the path.
fn parameter(parameter: &Value) -> Message {
    let place = parameter.get("in");
    let mut out = Message::default();
    if place.is_some_and(|place| place == "body") {
        out.text(2, parameter.get("name"));
        out.text(3, place);
        out.flag(4, parameter.get("required"));
        out.message(5, parameter.get("schema").map(schema));
        return one(1, one(1, out));
    }
    out.flag(1, parameter.get("required"));
    out.text(2, place);
    out.text(3, parameter.get("description"));
    out.text(4, parameter.get("name"));
    // The two differ by `allow_empty_value`, which only a query has.
    let (own, kind, format, unique) = match place {
        Some(place) if place == "path" => (4, 5, 6, 19),
        _ => (3, 6, 7, 20),
    };
    out.text(kind, parameter.get("type"));
    out.text(format, parameter.get("format"));
    out.flag(unique, parameter.get("uniqueItems"));
    one(1, one(2, one(own, out)))
}

fn response(response: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, response.get("description"));
    out.message(2, response.get("schema").map(|found| one(1, schema(found))));
    one(1, out)
}

fn schema(object: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, object.get("$ref"));
    out.text(2, object.get("format"));
    out.text(4, object.get("description"));
    out.message(5, object.get("default").map(any));
    out.each_text(19, object.get("required"));
    out.all(20, object.get("enum"), any);
    let values = object.get("additionalProperties");
    out.message(21, values.map(|found| one(1, schema(found))));
    if let Some(kind) = object.get("type").and_then(Value::as_str) {
        let mut kinds = Message::default();
        kinds.bytes(1, kind.as_bytes());
        out.message(22, Some(kinds));
    }
    out.message(23, object.get("items").map(|found| one(1, schema(found))));
    let properties = object.get("properties");
    out.message(25, properties.map(|all| named(1, all, schema)));
    out.extensions(31, object);
    out
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use serde_json::json;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Document {
        #[prost(string, tag = "1")]
        swagger: String,
        #[prost(message, optional, tag = "8")]
        paths: Option<Paths>,
        #[prost(message, optional, tag = "9")]
        definitions: Option<Schemas>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Paths {
        #[prost(message, repeated, tag = "2")]
        path: Vec<NamedPath>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct NamedPath {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        value: Option<PathItem>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct PathItem {
        #[prost(message, optional, tag = "8")]
        patch: Option<Operation>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Operation {
        #[prost(string, tag = "5")]
        operation_id: String,
        #[prost(message, repeated, tag = "13")]
        vendor_extension: Vec<NamedAny>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct NamedAny {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        value: Option<Any>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Any {
        #[prost(string, tag = "2")]
        yaml: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Schemas {
        #[prost(message, repeated, tag = "1")]
        additional_properties: Vec<NamedSchema>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct NamedSchema {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        value: Option<Schema>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Schema {
        #[prost(string, tag = "1")]
        reference: String,
        #[prost(string, repeated, tag = "19")]
        required: Vec<String>,
        #[prost(message, optional, tag = "25")]
        properties: Option<Schemas>,
    }

    #[test]
    fn another_reader_finds_paths_schemas_and_extensions() {
        let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        let patch = json!({"operationId": "patch", "x-kubernetes-group-version-kind": kind});
        let bytes = encode_openapi_v2(&json!({
            "swagger": "2.0",
            "paths": {"/apis": {"patch": patch}},
            "definitions": {"D": {"required": ["spec"], "properties": {"spec": {"$ref": "#/definitions/S"}}}},
        }));
        let document = Document::decode(bytes.as_slice()).unwrap();
        assert_eq!(document.swagger, "2.0");
        let path = document.paths.unwrap().path.remove(0);
        let found = path.value.unwrap().patch.unwrap();
        assert_eq!(
            (path.name.as_str(), found.operation_id.as_str()),
            ("/apis", "patch")
        );
        let extension = &found.vendor_extension[0];
        let yaml: Value = serde_json::from_str(&extension.value.as_ref().unwrap().yaml).unwrap();
        assert_eq!(
            (extension.name.as_str(), yaml),
            ("x-kubernetes-group-version-kind", kind)
        );
        let definition = document.definitions.unwrap().additional_properties.remove(0);
        let schema = definition.value.unwrap();
        assert_eq!(
            (definition.name.as_str(), schema.required),
            ("D", vec!["spec".to_owned()])
        );
        let spec = schema.properties.unwrap().additional_properties.remove(0);
        assert_eq!(
            (spec.name.as_str(), spec.value.unwrap().reference.as_str()),
            ("spec", "#/definitions/S")
        );
    }
}
