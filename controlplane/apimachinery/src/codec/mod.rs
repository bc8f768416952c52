//! Bytes to objects and back: JSON and YAML, read with bounds on nesting and memory.
//!
//! Members that come twice are noted, which plain parsing would silently drop: of them the last counts, as upstream has
//! it, and strict validation names them by their paths. Kubernetes' protobuf form needs tables of its own kinds, so it is
//! read by `controlplane-protobuf`.
//!
//! A body of 3 MiB may stand for much more: aliases in YAML repeat what they name, and `{"a":0}` takes 80 times its
//! length in memory. So what has been read is weighed as it is built, and given up beyond [`MEMORY`].

mod read;
#[cfg(test)]
mod tests;

use serde::de::DeserializeSeed;
use serde_json::Value;

use read::{Node, Notes, Place};

/// Most memory that a document may take, by estimate, in bytes.
pub const MEMORY: usize = 96 << 20;

/// A parsed document and the paths of members that it holds more than once.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Such as `spec.containers[0].name`; of a member that comes twice the last counts. At most 100.
    pub duplicates: Vec<String>,
}

impl From<Value> for Document {
    fn from(value: Value) -> Self {
        Self {
            value,
            duplicates: Vec::new(),
        }
    }
}

/// Why bytes are no document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// They are no JSON, are nested too deeply, or take too much memory.
    #[error("json parse error: {}", in_words(.0))]
    Json(#[from] serde_json::Error),
    /// They are no YAML, are nested too deeply, repeat too much, or take too much memory.
    #[error("yaml: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
}

impl CodecError {
    /// Whether it is [`MEMORY`] that the document exceeds.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        let text = match self {
            Self::Json(error) => error.to_string(),
            Self::Yaml(error) => error.to_string(),
        };
        text.contains(read::TOO_LARGE)
    }
}

/// The one message of which clients know Go's words.
fn in_words(error: &serde_json::Error) -> String {
    if error.is_eof() {
        "unexpected end of JSON input".to_owned()
    } else {
        error.to_string()
    }
}

/// Reads JSON; nesting is limited to 128 levels.
///
/// # Errors
///
/// The position and nature of the first mistake.
pub fn from_json(bytes: &[u8]) -> Result<Document, CodecError> {
    let notes = Notes::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Node::new(&Place::Root, &notes).deserialize(&mut reader)?;
    reader.end()?;
    Ok(notes.document(value))
}

/// Reads one document of YAML; nesting is limited to 128 levels, repetition by aliases as well.
///
/// # Errors
///
/// The position and nature of the first mistake.
pub fn from_yaml(bytes: &[u8]) -> Result<Document, CodecError> {
    let notes = Notes::default();
    let reader = serde_yaml_ng::Deserializer::from_slice(bytes);
    let value = Node::new(&Place::Root, &notes).deserialize(reader)?;
    Ok(notes.document(value))
}

/// Reads what is JSON where it begins with a brace, else YAML; as configurations to apply come.
///
/// # Errors
///
/// As [`from_yaml`].
pub fn from_yaml_or_json(bytes: &[u8]) -> Result<Document, CodecError> {
    let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if is_json {
        match from_json(bytes) {
            Err(error) if error.is_too_large() => return Err(error),
            // An object in YAML's flow style begins with a brace, too.
            Err(_) => {}
            read => return read,
        }
    }
    from_yaml(bytes)
}

/// Writes YAML.
///
/// # Errors
///
/// None that is known: every JSON value has a form in YAML.
pub fn to_yaml(value: &Value) -> Result<String, CodecError> {
    Ok(serde_yaml_ng::to_string(value)?)
}
