//! Reading request bodies in Kubernetes' protobuf form.
//!
//! client-go sends creates and updates of built-in kinds in this form since 1.32, and does not fall back
//! when it is refused; `kubectl create namespace` is such a request. Replies are JSON: everybody accepts it.

mod table;
mod wire;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use controlplane_api::{ApiError, time};
use jiff::Timestamp;
use serde_json::{Map, Value};

use table::{Field, Kind, Shape};
use wire::{Reader, Wire, WireError};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Deepest nesting of messages.
const DEPTH: usize = 64;

/// Decodes a body: the magic, then a `runtime.Unknown` that names the kind and holds the message.
///
/// # Errors
///
/// 400 that says what is malformed or unknown.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, ApiError> {
    let bad = |why: &str| ApiError::bad_request(format!("protobuf parse error: {why}"));
    let envelope = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| bad("the body does not begin as Kubernetes' messages do"))?;
    let (api_version, kind, raw) = unknown(envelope).map_err(|error| bad(&error.to_string()))?;
    let name = message_name(&api_version, &kind);
    if table::message(&name).is_none() {
        return Err(bad(&format!("{kind} in version {api_version:?} is not known")));
    }
    let mut object = message(&name, raw, DEPTH).map_err(|error| bad(&error.to_string()))?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

/// `apiVersion`, kind and message of a `runtime.Unknown`.
fn unknown(bytes: &[u8]) -> Result<(String, String, &[u8]), WireError> {
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut fields = Reader(bytes);
    while let Some((number, value)) = fields.field()? {
        match number {
            1 => {
                let mut type_meta = Reader(value.bytes()?);
                while let Some((number, value)) = type_meta.field()? {
                    match number {
                        1 => value.text()?.clone_into(&mut api_version),
                        2 => value.text()?.clone_into(&mut kind),
                        _ => {}
                    }
                }
            }
            2 => raw = value.bytes()?,
            _ => {}
        }
    }
    Ok((api_version, kind, raw))
}

/// The table's name for a kind.
fn message_name(api_version: &str, kind: &str) -> String {
    let group = match (kind, api_version.split_once('/')) {
        ("DeleteOptions", _) => "meta",
        (_, None) => "core",
        (_, Some((group, _))) => group,
    };
    format!("{group}.{kind}")
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let mut object = Map::new();
    let Some(table) = table::message(name) else {
        return Ok(object);
    };
    let mut fields = Reader(bytes);
    while let Some((number, wire)) = fields.field()? {
        if let Some(field) = table.get(&number) {
            read(name, *field, wire, depth, &mut object)?;
        }
    }
    Ok(object)
}

/// Reads one field into `object`.
fn read(
    parent: &str,
    field: Field,
    wire: Wire<'_>,
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), WireError> {
    let Some(name) = field.name else {
        if let Kind::Message(inline) = field.kind {
            object.extend(message(inline, wire.bytes()?, depth)?);
        }
        return Ok(());
    };
    match field.shape {
        Shape::One => {
            let value = value(field.kind, wire, depth)?;
            if !is_unset(parent, name, &value) {
                object.insert(name.to_owned(), value);
            }
        }
        Shape::List => {
            let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Some(list) = list.as_array_mut() {
                extend(list, field.kind, wire, depth)?;
            }
        }
        Shape::Map => {
            let (key, value) = pair(field.kind, wire.bytes()?, depth)?;
            let map = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if let Some(map) = map.as_object_mut() {
                map.insert(key, value);
            }
        }
    }
    Ok(())
}

/// Numbers in a list may come packed into one field.
fn extend(list: &mut Vec<Value>, kind: Kind, wire: Wire<'_>, depth: usize) -> Result<(), WireError> {
    if let (Kind::Integer, Wire::Bytes(packed)) = (kind, wire) {
        let mut numbers = Reader(packed);
        while !numbers.0.is_empty() {
            list.push(signed(numbers.number()?));
        }
        return Ok(());
    }
    list.push(value(kind, wire, depth)?);
    Ok(())
}

fn pair(kind: Kind, bytes: &[u8], depth: usize) -> Result<(String, Value), WireError> {
    let (mut key, mut found) = (String::new(), None);
    let mut fields = Reader(bytes);
    while let Some((number, wire)) = fields.field()? {
        match number {
            1 => wire.text()?.clone_into(&mut key),
            2 => found = Some(value(kind, wire, depth)?),
            _ => {}
        }
    }
    let found = match found {
        Some(found) => found,
        None => value(kind, Wire::Bytes(&[]), depth)?,
    };
    Ok((key, found))
}

fn value(kind: Kind, wire: Wire<'_>, depth: usize) -> Result<Value, WireError> {
    Ok(match kind {
        Kind::Text => wire.text()?.into(),
        Kind::Bytes => BASE64_STANDARD.encode(wire.bytes()?).into(),
        Kind::Integer => signed(wire.number()?),
        Kind::Flag => (wire.number()? != 0).into(),
        Kind::Time => instant(wire.bytes()?, time::format)?,
        Kind::MicroTime => instant(wire.bytes()?, time::format_micro)?,
        Kind::Quantity => first(wire.bytes()?)?
            .map(Wire::text)
            .transpose()?
            .unwrap_or("0")
            .into(),
        Kind::IntOrString => int_or_string(wire.bytes()?)?,
        Kind::Raw => match first(wire.bytes()?)? {
            Some(json) => serde_json::from_slice(json.bytes()?).map_err(|_| WireError::Json)?,
            None => Value::Null,
        },
        Kind::Texts => {
            let mut texts = Vec::new();
            let mut fields = Reader(wire.bytes()?);
            while let Some((_, text)) = fields.field()? {
                texts.push(text.text()?.into());
            }
            Value::Array(texts)
        }
        Kind::Message(name) => Value::Object(message(name, wire.bytes()?, depth)?),
    })
}

/// Numbers are two's complement, also those of 32 bits.
fn signed(number: u64) -> Value {
    number.cast_signed().into()
}

/// Field 1 of a message.
fn first(bytes: &[u8]) -> Result<Option<Wire<'_>>, WireError> {
    let mut fields = Reader(bytes);
    while let Some((number, wire)) = fields.field()? {
        if number == 1 {
            return Ok(Some(wire));
        }
    }
    Ok(None)
}

/// A time of seconds and nanoseconds; one without fields is none.
fn instant(bytes: &[u8], format: fn(Timestamp) -> String) -> Result<Value, WireError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Reader(bytes);
    while let Some((number, wire)) = fields.field()? {
        match number {
            1 => seconds = wire.number()?.cast_signed(),
            2 => nanos = i32::try_from(wire.number()?.cast_signed()).map_err(|_| WireError::Time)?,
            _ => {}
        }
    }
    Timestamp::new(seconds, nanos)
        .map(|time| format(time).into())
        .map_err(|_| WireError::Time)
}

fn int_or_string(bytes: &[u8]) -> Result<Value, WireError> {
    let (mut is_text, mut number, mut text) = (false, Value::from(0), "");
    let mut fields = Reader(bytes);
    while let Some((field, wire)) = fields.field()? {
        match field {
            1 => is_text = wire.number()? == 1,
            2 => number = signed(wire.number()?),
            3 => text = wire.text()?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number })
}

/// Go's encoder sends the zero values of fields that are no pointers; JSON leaves them out.
///
/// Where a zero may mean something (a pointer in Go, such as `replicas`), it is kept.
fn is_unset(parent: &str, name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => {
            let plain = [
                "hostPort",
                "nodePort",
                "generation",
                "observedGeneration",
                "minReadySeconds",
                "count",
            ];
            number.as_i64() == Some(0) && (parent.ends_with("Status") || plain.contains(&name))
        }
        Value::Bool(false) => [
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "stdin",
            "stdinOnce",
            "tty",
            "readOnly",
            "paused",
            "unschedulable",
            "publishNotReadyAddresses",
        ]
        .contains(&name),
        Value::Object(map) => {
            map.is_empty() && ["status", "resources", "strategy", "updateStrategy"].contains(&name)
        }
        Value::Bool(true) | Value::Array(_) => false,
    }
}

#[cfg(test)]
mod tests;
