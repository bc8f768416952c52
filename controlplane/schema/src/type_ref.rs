//! One type of a table, and what can be asked of it.

use serde_json::Value;

use crate::{MergeError, Problem, Schemas};

/// A type of a [`Schemas`]; cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct TypeRef<'a> {
    #[expect(dead_code, reason = "filled in next")]
    schemas: &'a Schemas,
}

impl TypeRef<'_> {
    /// Everything that Kubernetes' decoder would refuse in `object`: wrong types and formats.
    ///
    /// Missing fields are not among them: to a decoder they are zero values, and validation finds
    /// them. `null` stands for an absent field. Maps to a 400 `BadRequest`.
    #[must_use]
    pub fn check(&self, object: &Value) -> Vec<Problem> {
        let _ = object;
        Vec::new()
    }

    /// The required fields that `object` lacks, outside `status`.
    #[must_use]
    pub fn missing(&self, object: &Value) -> Vec<Problem> {
        let _ = object;
        Vec::new()
    }

    /// The fields that the type does not know, at most 100, as Kubernetes' strict field validation
    /// prints them: `spec.containers[0].foo` stands for `unknown field "spec.containers[0].foo"`.
    #[must_use]
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        let _ = object;
        Vec::new()
    }

    /// Removes the fields that the type does not know, and `null`s.
    pub fn prune(&self, object: &mut Value) {
        let _ = object;
    }

    /// Fills in what Kubernetes' defaulting would. Idempotent.
    pub fn default(&self, object: &mut Value) {
        let _ = object;
    }

    /// `original` with the strategic merge patch `patch` applied.
    ///
    /// # Errors
    ///
    /// What is wrong with the patch, in Kubernetes' words.
    pub fn strategic_merge(&self, original: &Value, patch: &Value) -> Result<Value, MergeError> {
        let _ = patch;
        Ok(original.clone())
    }
}
