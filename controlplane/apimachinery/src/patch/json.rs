//! JSON patch (RFC 6902), with the extensions and bounds of Kubernetes.
//!
//! A negative index counts from the end of a list. What `copy` adds is counted, since each copy may double an object; a
//! path has as many steps as an object may have levels, so that no patch nests what cannot be walked.

mod diff;

use serde_json::{Map, Value};

use crate::codec;
use crate::patch::PatchError;

/// Most operations of one patch, as upstream's limit.
pub const MAX_OPERATIONS: usize = 10_000;

/// Most that the copies of one patch may add, in bytes of JSON, as upstream's limit.
pub const MAX_COPIED: usize = 3 << 20;

/// Most levels of an object, as many as are read.
const MAX_DEPTH: usize = 128;

/// A list of operations, each done to what the one before has left.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JsonPatch(pub(super) Vec<Operation>);

/// One step of a patch. Paths are JSON pointers (RFC 6901), split and unescaped.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Sets a member or inserts an element.
    Add {
        /// Where; `-` as the last step is the end of a list.
        path: Vec<String>,
        /// What.
        value: Value,
    },
    /// Takes away what is there.
    Remove {
        /// Where.
        path: Vec<String>,
    },
    /// Puts another value in the place of what is there.
    Replace {
        /// Where.
        path: Vec<String>,
        /// What.
        value: Value,
    },
    /// Takes a value from one place to another.
    Move {
        /// Whence.
        from: Vec<String>,
        /// Whither.
        path: Vec<String>,
    },
    /// Adds at one place what is at another.
    Copy {
        /// Whence.
        from: Vec<String>,
        /// Whither.
        path: Vec<String>,
    },
    /// Goes on only where this value is there.
    Test {
        /// Where.
        path: Vec<String>,
        /// What; absent and `null` are the same.
        value: Value,
    },
}

/// Why a patch does not fit an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonPatchError {
    /// There is nothing at that place.
    #[error("{operation} operation does not apply: nothing is at {path}")]
    Missing {
        /// Such as `remove`.
        operation: &'static str,
        /// The pointer.
        path: String,
    },
    /// An element was named by what is no index of its list.
    #[error("{operation} operation does not apply: {path} ends in no index of the list")]
    Index {
        /// Such as `remove`.
        operation: &'static str,
        /// The pointer.
        path: String,
    },
    /// Another value is there.
    #[error("testing value {path} failed")]
    Test {
        /// The pointer.
        path: String,
    },
    /// A value cannot go into itself.
    #[error("move operation does not apply: {path} is inside of what is moved")]
    IntoItself {
        /// The pointer.
        path: String,
    },
    /// The copies add too much.
    #[error(
        "Unable to complete the copy, the accumulated size increase of copy is {size}, exceeding the limit {MAX_COPIED}"
    )]
    TooMuch {
        /// What they would add.
        size: usize,
    },
    /// The object would be nested too deeply.
    #[error("the object would be nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

impl JsonPatch {
    /// A patch of these operations.
    #[must_use]
    pub fn new(operations: Vec<Operation>) -> Self {
        Self(operations)
    }

    /// Its operations, in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.0
    }

    /// Reads a patch.
    ///
    /// # Errors
    ///
    /// What is no list of operations, or is one of more than [`MAX_OPERATIONS`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PatchError> {
        let Value::Array(list) = codec::from_json(bytes)?.value else {
            return Err(PatchError::NotAList);
        };
        if list.len() > MAX_OPERATIONS {
            return Err(PatchError::TooManyOperations { count: list.len() });
        }
        let operations: Result<_, _> = list
            .into_iter()
            .enumerate()
            .map(|(place, operation)| operation_of(place, operation))
            .collect();
        Ok(Self(operations?))
    }

    /// The patch as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.0.iter().map(Operation::to_json).collect()
    }

    /// `current` with all operations done to it, or unchanged where one does not apply.
    ///
    /// # Errors
    ///
    /// The first that does not apply.
    pub fn apply(&self, current: &Value) -> Result<Value, JsonPatchError> {
        let mut object = current.clone();
        let mut copied = 0;
        for operation in &self.0 {
            operation.apply(&mut object, &mut copied)?;
        }
        Ok(object)
    }
}

fn operation_of(place: usize, operation: Value) -> Result<Operation, PatchError> {
    let bad = |what: &'static str| PatchError::BadOperation { place, what };
    let Value::Object(mut fields) = operation else {
        return Err(bad("is no object"));
    };
    let pointer = |fields: &Map<String, Value>, name: &str| {
        let text = fields.get(name).and_then(Value::as_str);
        text.ok_or(bad("lacks a path"))
            .and_then(|text| steps(text).ok_or(bad("has a path that is no JSON pointer")))
    };
    let path = pointer(&fields, "path")?;
    let value = fields.remove("value");
    let name = fields.get("op").and_then(Value::as_str).unwrap_or_default();
    Ok(match name {
        "add" => Operation::Add {
            path,
            value: value.unwrap_or_default(),
        },
        "remove" => Operation::Remove { path },
        "replace" => Operation::Replace {
            path,
            value: value.unwrap_or_default(),
        },
        "move" => Operation::Move {
            from: pointer(&fields, "from")?,
            path,
        },
        "copy" => Operation::Copy {
            from: pointer(&fields, "from")?,
            path,
        },
        "test" => Operation::Test {
            path,
            value: value.unwrap_or_default(),
        },
        _ => return Err(bad("is of no known kind")),
    })
}

/// The steps of a JSON pointer.
fn steps(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let rest = pointer.strip_prefix('/')?;
    Some(
        rest.split('/')
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect(),
    )
}

/// The JSON pointer of steps.
fn pointer(path: &[String]) -> String {
    path.iter()
        .map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")))
        .collect()
}

impl Operation {
    fn to_json(&self) -> Value {
        let text = |path: &[String]| Value::from(pointer(path));
        let fields: Vec<(&str, Value)> = match self {
            Self::Add { path, value } => vec![
                ("op", "add".into()),
                ("path", text(path)),
                ("value", value.clone()),
            ],
            Self::Remove { path } => vec![("op", "remove".into()), ("path", text(path))],
            Self::Replace { path, value } => {
                vec![
                    ("op", "replace".into()),
                    ("path", text(path)),
                    ("value", value.clone()),
                ]
            }
            Self::Move { from, path } => {
                vec![("op", "move".into()), ("from", text(from)), ("path", text(path))]
            }
            Self::Copy { from, path } => {
                vec![("op", "copy".into()), ("from", text(from)), ("path", text(path))]
            }
            Self::Test { path, value } => vec![
                ("op", "test".into()),
                ("path", text(path)),
                ("value", value.clone()),
            ],
        };
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn apply(&self, object: &mut Value, copied: &mut usize) -> Result<(), JsonPatchError> {
        match self {
            Self::Add { path, value } => add(object, "add", path, value.clone()),
            Self::Remove { path } => take(object, "remove", path).map(drop),
            Self::Replace { path, value } => {
                fits(path, value)?;
                let place = find_mut(object, path).ok_or_else(|| missing("replace", path))?;
                *place = value.clone();
                Ok(())
            }
            Self::Move { from, path } => {
                if path.len() > from.len() && path.starts_with(from) {
                    return Err(JsonPatchError::IntoItself { path: pointer(path) });
                }
                let value = take(object, "move", from)?;
                add(object, "move", path, value)
            }
            Self::Copy { from, path } => {
                let value = find(object, from).ok_or_else(|| missing("copy", from))?;
                *copied += value.to_string().len();
                if *copied > MAX_COPIED {
                    return Err(JsonPatchError::TooMuch { size: *copied });
                }
                let value = value.clone();
                add(object, "copy", path, value)
            }
            Self::Test { path, value } => {
                // What is absent is null; so a patch can ask that something is not there.
                match find(object, path).unwrap_or(&Value::Null) == value {
                    true => Ok(()),
                    false => Err(JsonPatchError::Test { path: pointer(path) }),
                }
            }
        }
    }
}

fn missing(operation: &'static str, path: &[String]) -> JsonPatchError {
    JsonPatchError::Missing {
        operation,
        path: pointer(path),
    }
}

/// The place of an existing element; negative indices count from the end.
fn element(length: usize, step: &str) -> Option<usize> {
    if let Some(back) = step.strip_prefix('-') {
        return length.checked_sub(index(back)?).filter(|place| *place < length);
    }
    index(step).filter(|place| *place < length)
}

/// Digits without leading zeros.
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || !step.starts_with('0');
    (plain && step.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| step.parse().ok())
        .flatten()
}

fn find<'v>(object: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(list) => list.get(element(list.len(), step)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn find_mut<'v>(object: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(object, |value, step| match value {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(list) => {
            let place = element(list.len(), step)?;
            list.get_mut(place)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn add(
    object: &mut Value,
    operation: &'static str,
    path: &[String],
    value: Value,
) -> Result<(), JsonPatchError> {
    fits(path, &value)?;
    let Some((last, parent)) = path.split_last() else {
        *object = value;
        return Ok(());
    };
    match find_mut(object, parent) {
        Some(Value::Object(fields)) => drop(fields.insert(last.clone(), value)),
        Some(Value::Array(list)) => {
            // The end is a place, too: as `-`, as an index, and as -1.
            let place = if last == "-" {
                Some(list.len())
            } else {
                element(list.len() + 1, last)
            };
            let bad = || JsonPatchError::Index {
                operation,
                path: pointer(path),
            };
            list.insert(place.ok_or_else(bad)?, value);
        }
        _ => return Err(missing(operation, path)),
    }
    Ok(())
}

fn take(object: &mut Value, operation: &'static str, path: &[String]) -> Result<Value, JsonPatchError> {
    let Some((last, parent)) = path.split_last() else {
        return Err(missing(operation, path));
    };
    match find_mut(object, parent) {
        Some(Value::Object(fields)) => fields.remove(last).ok_or_else(|| missing(operation, path)),
        Some(Value::Array(list)) => {
            let place = element(list.len(), last);
            let bad = || JsonPatchError::Index {
                operation,
                path: pointer(path),
            };
            Ok(list.remove(place.ok_or_else(bad)?))
        }
        _ => Err(missing(operation, path)),
    }
}

/// Refuses what would nest an object too deeply.
fn fits(path: &[String], value: &Value) -> Result<(), JsonPatchError> {
    if path.len() + depth(value) > MAX_DEPTH {
        return Err(JsonPatchError::TooDeep);
    }
    Ok(())
}

/// The levels of a value, which are few: all that is read or made has fewer than [`MAX_DEPTH`].
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
