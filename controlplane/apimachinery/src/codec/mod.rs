//! Bytes to objects and back: JSON and YAML, read with bounds on nesting and memory.
//!
//! Members that come twice are noted, which plain parsing would silently drop: of them the last counts, as upstream has
//! it, and strict validation names them: in JSON by their paths, in YAML by line. Kubernetes' protobuf form needs tables of
//! its own kinds, so it is read by `controlplane-protobuf`.
//!
//! YAML means what it means to the library that kubectl and upstream's API server use, which is not YAML 1.2 to the letter:
//! `0644` is octal, `yes` and `off` are truth values, `<<` merges. What is written reads as the same in either version.
//!
//! A body of 3 MiB may stand for much more: aliases in YAML repeat what they name, and `{"a":0}` takes 80 times its
//! length in memory. So what has been read is weighed as it is built, and given up beyond [`MEMORY`].

mod budget;
mod duplicate;
mod read;
#[cfg(test)]
mod tests;
mod yaml;

use serde::de::DeserializeSeed;
use serde_json::Value;

pub use duplicate::{Duplicate, strict_errors};
use read::{Node, Notes, Place};
pub use yaml::YamlError;

/// Most memory that a document may take, by estimate, in bytes.
pub const MEMORY: usize = 96 << 20;

/// Most levels of a document.
const DEPTH: usize = 128;

/// A parsed document and the members that it holds more than once.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Of a member that comes twice the last counts. At most 100.
    pub duplicates: Vec<Duplicate>,
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
    Yaml(YamlError),
}

/// No source of the error: it says all that is known, and would be told twice.
impl From<YamlError> for CodecError {
    fn from(error: YamlError) -> Self {
        Self::Yaml(error)
    }
}

impl CodecError {
    /// Whether it is [`MEMORY`] that the document exceeds.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Json(error) => error.to_string().contains(&budget::TooLarge.to_string()),
            Self::Yaml(error) => error.is_too_large(),
        }
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

/// Reads one document of YAML; nesting is limited to 128 levels, repetition by aliases as well. No document is null.
///
/// # Errors
///
/// The position and nature of the first mistake, and a second document.
pub fn from_yaml(bytes: &[u8]) -> Result<Document, CodecError> {
    let mut documents = yaml::read(bytes, 1)?;
    Ok(documents.pop().unwrap_or_else(|| Value::Null.into()))
}

/// Reads a stream of documents in YAML, as files have it; [`MEMORY`] is what each may take.
///
/// # Errors
///
/// As [`from_yaml`].
pub fn documents_from_yaml(bytes: &[u8]) -> Result<Vec<Document>, CodecError> {
    Ok(yaml::read(bytes, usize::MAX)?)
}

/// Reads what is JSON where it begins with a brace, else YAML; as configurations to apply come. Duplicates are named by
/// line in either form.
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
            // JSON is YAML, which tells lines.
            Ok(document) if !document.duplicates.is_empty() => {
                return Ok(from_yaml(bytes).unwrap_or(document));
            }
            read => return read,
        }
    }
    from_yaml(bytes)
}

/// Writes YAML, in the block style and with the quotes that kubectl writes.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    yaml::write(value)
}
