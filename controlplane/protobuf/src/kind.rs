//! Kinds whose objects can be written.

use crate::encode;
use crate::envelope::MAGIC;
use crate::table::{MessageId, builtin};
use crate::write::{begin, nested, text};

/// Why an object cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("write a {kind} of {api_version} as protobuf")]
pub struct EncodeError {
    api_version: String,
    kind: String,
    source: serde_json::Error,
}

/// A kind that has a protobuf form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    api_version: String,
    kind: String,
    message: MessageId,
}

impl Kind {
    /// The kind of that name, if it has such a form; those of `meta.k8s.io/v1` have it in every group.
    #[must_use]
    pub fn find(api_version: &str, kind: &str) -> Option<Self> {
        Some(Self {
            message: builtin().kind(api_version, kind)?,
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        })
    }

    /// Appends the body of the JSON object `json`: the envelope and its message. Fields that the table does not have are
    /// left out.
    ///
    /// # Errors
    ///
    /// Where `json` is no JSON, or a field has another type than the kind's.
    pub fn write(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.begin(out);
        nested(2, out, |out| self.write_message(json, out))
    }

    /// Appends the object as the element of a list, whose field of items is the second in every kind.
    ///
    /// # Errors
    ///
    /// As [`Kind::write`].
    pub fn write_item(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        nested(2, out, |out| self.write_message(json, out))
    }

    /// Appends the message alone.
    ///
    /// # Errors
    ///
    /// As [`Kind::write`].
    pub fn write_message(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode::message(builtin(), self.message, json, out).map_err(|source| EncodeError {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            source,
        })
    }

    /// What stands before a message of `length` bytes in a body.
    #[must_use]
    pub fn envelope(&self, length: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.begin(&mut out);
        begin(2, length, &mut out);
        out
    }

    fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        nested(1, out, |out| {
            text(1, self.api_version.as_bytes(), out);
            text(2, self.kind.as_bytes(), out);
        });
    }
}

/// Appends an event of a watch as a frame: its length in four bytes, and a `WatchEvent` of the object that `write` appends.
///
/// # Errors
///
/// Whatever `write` fails with; nothing is appended then.
pub fn write_watch_event<E>(
    kind: &str,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    text(1, kind.as_bytes(), out);
    let written = nested(2, out, |out| nested(1, out, write));
    if written.is_err() {
        out.truncate(start);
        return written;
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}
