//! One object in the form the client asked for.

use std::fmt;

use axum::response::Response;
use controlplane_api::Resource;
use controlplane_api::table::{self, Include};
use controlplane_store::{Entry, Revision};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::reply::{self, Reply, bug};
use crate::request::accept::{Accepted, Encoding, Shape};

/// How objects are to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) accepted: Accepted,
    pub(crate) include: Include,
    pub(crate) now: Timestamp,
}

impl Form<'_> {
    /// Appends the entry as JSON in the wanted shape, with `revision` as its resource version.
    ///
    /// # Errors
    ///
    /// Only where stored bytes are no JSON, which would be a bug.
    pub(crate) fn write(
        &self,
        entry: &Entry,
        revision: Revision,
        out: &mut Vec<u8>,
    ) -> Result<(), controlplane_api::ApiError> {
        match self.accepted.shape {
            Shape::Plain if self.resource.storage.is_none() => {
                entry.value.write_with(revision, out);
                return Ok(());
            }
            Shape::Metadata => return write_partial(entry, revision, out),
            Shape::Plain | Shape::Table => {}
        }
        let object = self.value(entry, revision)?;
        serde_json::to_writer(out, &object).map_err(|error| bug("serialise an object", &error))
    }

    /// Appends the entry as JSON as it stands in a list of the wanted shape: in a table, a row.
    ///
    /// # Errors
    ///
    /// As [`Form::write`].
    pub(crate) fn write_item(
        &self,
        entry: &Entry,
        out: &mut Vec<u8>,
    ) -> Result<(), controlplane_api::ApiError> {
        if self.accepted.shape != Shape::Table {
            return self.write(entry, entry.mod_revision, out);
        }
        let stored = match self.include {
            Include::Object => stored(entry, entry.mod_revision)?,
            Include::Metadata | Include::None => lean(entry)?,
        };
        out.extend_from_slice(b"{\"cells\":");
        let cells = table::cells(self.resource, &stored, self.now);
        serde_json::to_writer(&mut *out, &cells).map_err(|error| bug("serialise a row", &error))?;
        if let Some(conditions) = table::conditions(self.resource, &stored) {
            out.extend_from_slice(b",\"conditions\":");
            serde_json::to_writer(&mut *out, &conditions).map_err(|error| bug("serialise a row", &error))?;
        }
        if self.include != Include::None {
            out.extend_from_slice(b",\"object\":");
            self.write_included(entry, stored, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Appends what a row carries of its object.
    fn write_included(
        &self,
        entry: &Entry,
        stored: Value,
        out: &mut Vec<u8>,
    ) -> Result<(), controlplane_api::ApiError> {
        if self.include == Include::Metadata {
            return write_partial(entry, entry.mod_revision, out);
        }
        let mut object = stored;
        self.resource.from_storage(&mut object);
        serde_json::to_writer(out, &object).map_err(|error| bug("serialise an object", &error))
    }

    /// The entry as JSON value in the wanted shape.
    ///
    /// # Errors
    ///
    /// Only where stored bytes are no JSON, which would be a bug.
    pub(crate) fn value(
        &self,
        entry: &Entry,
        revision: Revision,
    ) -> Result<Value, controlplane_api::ApiError> {
        Ok(self.shaped(stored(entry, revision)?))
    }

    /// An object in its stored form (with its resource version) in the wanted shape.
    pub(crate) fn shaped(&self, mut stored: Value) -> Value {
        match self.accepted.shape {
            Shape::Plain => {
                self.resource.from_storage(&mut stored);
                stored
            }
            Shape::Metadata => table::partial(&stored),
            Shape::Table => self.table(&[stored]),
        }
    }

    /// A table of objects in their stored form; its resource version is that of a single object.
    pub(crate) fn table(&self, stored: &[Value]) -> Value {
        let mut table = table::table(self.resource, stored, self.now, self.include);
        if let [only] = stored {
            let version = controlplane_api::meta::resource_version(only);
            controlplane_api::meta::set(&mut table, "resourceVersion", version);
        }
        table
    }

    /// The answer that shows one entry.
    ///
    /// # Errors
    ///
    /// As [`Form::write`].
    pub(crate) fn reply(&self, code: StatusCode, entry: &Entry) -> Reply {
        let mut bytes = Vec::new();
        match self.accepted.encoding {
            Encoding::Json => {
                self.write(entry, entry.mod_revision, &mut bytes)?;
                Ok(reply::json_bytes(code, bytes))
            }
            Encoding::Protobuf => {
                self.write(entry, entry.mod_revision, &mut bytes)?;
                reply::binary(code, bytes)
            }
            Encoding::Yaml => reply::encoded(code, &self.value(entry, entry.mod_revision)?, Encoding::Yaml),
        }
    }

    /// The answer that shows an object in its stored form that is not in the store: a dry run's.
    ///
    /// # Errors
    ///
    /// Only where it cannot be serialised, which would be a bug.
    pub(crate) fn reply_value(
        &self,
        code: StatusCode,
        stored: Value,
    ) -> Result<Response, controlplane_api::ApiError> {
        reply::encoded(code, &self.shaped(stored), self.accepted.encoding)
    }
}

/// The entry in its stored form.
pub(crate) fn stored(entry: &Entry, revision: Revision) -> Result<Value, controlplane_api::ApiError> {
    let read = entry.value.to_json(revision);
    read.map_err(|error| bug("read a stored object", &error))
}

/// The entry in its stored form without `managedFields`, which are half of many objects and in no column.
fn lean(entry: &Entry) -> Result<Value, controlplane_api::ApiError> {
    let mut bytes = Vec::new();
    entry.value.write_with(entry.mod_revision, &mut bytes);
    let read = serde_json::from_slice::<Lean>(&bytes);
    read.map(|Lean(object)| object)
        .map_err(|error| bug("read a stored object", &error))
}

/// An object whose `metadata` is read without `managedFields`.
struct Lean(Value);

impl<'de> Deserialize<'de> for Lean {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = deserializer.deserialize_map(Fields(Level::Object))?;
        Ok(Self(Value::Object(object)))
    }
}

/// Where in an object fields are.
#[derive(Clone, Copy)]
enum Level {
    Object,
    Metadata,
}

/// Reads the fields of one level.
#[derive(Clone, Copy)]
struct Fields(Level);

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = match (self.0, &*name) {
                (Level::Object, "metadata") => Value::Object(map.next_value_seed(Self(Level::Metadata))?),
                (Level::Metadata, "managedFields") => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                _ => map.next_value()?,
            };
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

/// Appends the entry's `PartialObjectMetadata`; nothing behind its metadata is looked at.
fn write_partial(
    entry: &Entry,
    revision: Revision,
    out: &mut Vec<u8>,
) -> Result<(), controlplane_api::ApiError> {
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#);
    let written = entry.value.write_metadata_with(revision, out);
    written.map_err(|error| bug("read a stored object", &error))?;
    out.push(b'}');
    Ok(())
}
