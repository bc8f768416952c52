//! Patches: JSON patch, JSON merge patch, strategic merge patch, and the difference of two objects as each of them.
//!
//! Server-side apply, the fourth kind that Kubernetes knows, is [`crate::managed`].
//!
//! No patch makes more of an object than its own length: copies are counted, nesting is limited, and lists are joined
//! through hashed keys in linear time.

mod error;
mod json;
mod merge;
mod strategic;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::codec::{self, Duplicate};
use crate::go;
use crate::schema::TypeRef;

pub use error::{MergeError, PatchError};
pub use json::{JsonPatch, JsonPatchError, MAX_COPIED, MAX_OPERATIONS, Operation};
pub use merge::{merge_diff, merge_patch};
pub(crate) use strategic::{diff as strategic_diff, merge as strategic_merge};

/// The kinds of patches, by media type; the last is server-side apply.
pub const MEDIA_TYPES: [&str; 4] = [JSON, MERGE, STRATEGIC, APPLY];

/// The media type of RFC 6902.
pub const JSON: &str = "application/json-patch+json";
/// The media type of RFC 7386.
pub const MERGE: &str = "application/merge-patch+json";
/// The media type of Kubernetes' own merge patch.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// The media type of server-side apply.
pub const APPLY: &str = "application/apply-patch+yaml";

/// A patch that changes an object which is there.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Patch {
    /// RFC 6902.
    Json(JsonPatch),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' own, by the kind's schema.
    Strategic(Value),
}

impl Patch {
    /// Reads a patch; answers also with members that it holds twice.
    ///
    /// # Errors
    ///
    /// [`PatchError::Unknown`] for a media type that is none of the first three of [`MEDIA_TYPES`]; what is wrong with
    /// the bytes.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<(Self, Vec<Duplicate>), PatchError> {
        let wrap: fn(Value) -> Self = match media_type {
            JSON => return Ok((Self::Json(JsonPatch::parse(bytes)?), Vec::new())),
            MERGE => Self::Merge,
            STRATEGIC => Self::Strategic,
            _ => return Err(PatchError::Unknown),
        };
        let document = codec::from_json(bytes)?;
        if !document.value.is_object() {
            return Err(PatchError::NotAnObject);
        }
        Ok((wrap(document.value), document.duplicates))
    }

    /// What a refusal of the patch shows: the object that it has made, or for a strategic merge patch itself as Go prints
    /// it.
    #[must_use]
    pub fn shown(&self, patched: &Value) -> String {
        match self {
            Self::Json(_) | Self::Merge(_) => patched.to_string(),
            Self::Strategic(patch) => go::value(patch),
        }
    }

    /// `current` with the patch applied; `schema` is the kind's, without which there is no strategic merge.
    ///
    /// # Errors
    ///
    /// Where the patch does not fit the object.
    pub fn apply(&self, schema: Option<TypeRef<'_>>, current: &Value) -> Result<Value, PatchError> {
        match self {
            Self::Json(patch) => Ok(patch.apply(current)?),
            Self::Merge(patch) => {
                let mut patched = current.clone();
                merge_patch(&mut patched, patch);
                Ok(patched)
            }
            Self::Strategic(patch) => {
                let schema = schema.ok_or(PatchError::NoSchema)?;
                Ok(schema.strategic_merge(current, patch)?)
            }
        }
    }
}
