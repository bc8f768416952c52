//! The envelope around a message: what every body begins with, and a `runtime.Unknown`.

use serde_json::Value;

use crate::error::DecodeError;
use crate::object;
use crate::table::builtin;
use crate::wire::Reader;

/// The media type of such bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body begins with.
pub(crate) const MAGIC: &[u8] = b"k8s\0";

/// Decodes a body into the object that its sender would have written as JSON.
///
/// Time and memory are in proportion to the body; its size is for the caller to limit. Fields that the
/// table does not have are left out, as upstream does.
///
/// # Errors
///
/// Says what is malformed, or which kind is unknown.
pub fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    let envelope = Envelope::read(body.strip_prefix(MAGIC).ok_or(DecodeError::Magic)?)?;
    let table = builtin();
    let kind = table
        .kind(envelope.api_version, envelope.kind)
        .ok_or_else(|| DecodeError::Kind {
            api_version: envelope.api_version.to_owned(),
            kind: envelope.kind.to_owned(),
        })?;
    let mut object = object::read(table, kind, envelope.raw)?;
    object.insert("apiVersion".to_owned(), envelope.api_version.into());
    object.insert("kind".to_owned(), envelope.kind.into());
    Ok(Value::Object(object))
}

/// A `runtime.Unknown`: which kind it is, and its message.
#[derive(Debug, Default)]
struct Envelope<'a> {
    api_version: &'a str,
    kind: &'a str,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut envelope = Self::default();
        let mut fields = Reader(bytes);
        while let Some((number, value)) = fields.field()? {
            match number {
                1 => envelope.type_meta(value.bytes()?)?,
                2 => envelope.raw = value.bytes()?,
                3 if !value.bytes()?.is_empty() => return Err(DecodeError::Inside(value.text()?.to_owned())),
                4 if !matches!(value.text()?, "" | MEDIA_TYPE) => {
                    return Err(DecodeError::Inside(value.text()?.to_owned()));
                }
                _ => {}
            }
        }
        Ok(envelope)
    }

    fn type_meta(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let mut fields = Reader(bytes);
        while let Some((number, value)) = fields.field()? {
            match number {
                1 => self.api_version = value.text()?,
                2 => self.kind = value.text()?,
                _ => {}
            }
        }
        Ok(())
    }
}
