//! What a document weighs in memory, by estimate, as it is built.

use std::cell::Cell;

use serde_json::{Map, Value};

use super::MEMORY;

/// A node of a map holds eleven names and values, however few are used.
const MAP_NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
/// How many of them are used where a map has been filled in order.
const NODE_FILL: usize = 6;
/// A vector doubles as it grows.
pub(super) const ITEM: usize = 2 * size_of::<Value>();

/// The document takes more than [`MEMORY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the document takes too much memory")]
pub(super) struct TooLarge;

/// What a document may still take.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MEMORY))
    }
}

impl Budget {
    pub(super) fn take(&self, bytes: usize) -> Result<(), TooLarge> {
        self.0.set(self.0.get().checked_sub(bytes).ok_or(TooLarge)?);
        Ok(())
    }

    /// For one more member of `map`, called `name`.
    pub(super) fn take_member(&self, map: &Map<String, Value>, name: &str) -> Result<(), TooLarge> {
        let node = if map.len().is_multiple_of(NODE_FILL) {
            MAP_NODE
        } else {
            0
        };
        self.take(node + name.len())
    }

    /// For a copy of `value`; answers with its depth, which is 0 for what holds nothing.
    pub(super) fn take_copy(&self, value: &Value) -> Result<usize, TooLarge> {
        let mut deepest = None;
        match value {
            Value::String(text) => self.take(text.len())?,
            Value::Array(items) => {
                self.take(items.len() * ITEM)?;
                for item in items {
                    deepest = deepest.max(Some(self.take_copy(item)?));
                }
            }
            Value::Object(map) => {
                self.take(map.len().div_ceil(NODE_FILL) * MAP_NODE)?;
                for (name, member) in map {
                    self.take(name.len())?;
                    deepest = deepest.max(Some(self.take_copy(member)?));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(deepest.map_or(0, |depth| depth + 1))
    }
}
