//! One type of a table, and what can be asked of it.

use serde_json::Value;

use crate::patch::{MergeError, strategic_diff, strategic_merge};
use crate::schema::model::Definition;
use crate::schema::{Problem, Schemas, check, defaulting, unknown};

/// A type of a [`Schemas`]; cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct TypeRef<'a> {
    pub(crate) schemas: &'a Schemas,
    pub(crate) definition: &'a Definition,
}

impl<'a> TypeRef<'a> {
    /// The facts of the type.
    #[must_use]
    pub fn definition(&self) -> &'a Definition {
        self.definition
    }

    /// Full name of the type, such as `io.k8s.api.core.v1.Pod`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.definition.name
    }

    /// The kind that the type is in this version, if it is one.
    #[must_use]
    pub fn kind_in(&self, api_version: &str) -> Option<&'a str> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let mut kinds = self.definition.kinds.iter();
        let own = kinds.find(|own| *own.group == *group && *own.version == *version)?;
        Some(&own.kind)
    }

    /// Everything that Kubernetes' decoder would refuse in `object`: wrong types and formats, at most 100.
    ///
    /// Missing fields are not among them: to a decoder they are zero values, and validation finds
    /// them. `null` stands for an absent field. The API server answers them with 400 `BadRequest`.
    #[must_use]
    pub fn check(&self, object: &Value) -> Vec<Problem> {
        check::structure(self.schemas, self.definition, object)
    }

    /// The required fields that `object` lacks, outside `status`; at most 100.
    ///
    /// Kubernetes does not refuse all of them for its own kinds (an `EndpointSlice` without `endpoints`
    /// is accepted): the validation of a kind decides.
    #[must_use]
    pub fn missing(&self, object: &Value) -> Vec<Problem> {
        check::missing(self.schemas, self.definition, object)
    }

    /// The fields that the type does not know, at most 100, as Kubernetes' strict field validation
    /// prints them: `spec.containers[0].foo` stands for `unknown field "spec.containers[0].foo"`.
    #[must_use]
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        unknown::find(self.schemas, self.definition, object)
    }

    /// Removes the fields that the type does not know. A `null` field is removed too, a `null` in a list
    /// or map becomes the zero value, as on the way through Go's types, which spell quantities, times and bytes in one
    /// way, too.
    pub fn prune(&self, object: &mut Value) {
        unknown::prune(self.schemas, self.definition, object);
    }

    /// Fills in what Kubernetes' defaulting would. Idempotent. Wants a pruned object.
    pub fn default(&self, object: &mut Value) {
        defaulting::apply(self.schemas, self.definition, object);
    }

    /// `original` with the strategic merge patch `patch` applied: neither directives nor `null`s of
    /// the patch are left in it. Unknown fields are merged as untyped JSON; prune afterwards.
    ///
    /// # Errors
    ///
    /// What is wrong with the patch, in Kubernetes' words.
    pub fn strategic_merge(&self, original: &Value, patch: &Value) -> Result<Value, MergeError> {
        strategic_merge(self.schemas, self.definition, original, patch)
    }

    /// The strategic merge patch that makes `to` of `from`: changed elements of keyed lists by their keys, the order of
    /// all, and `$retainKeys` where the type says so, as kubectl's client-side apply sends it.
    ///
    /// Like any merge patch it cannot set `null`: a `null` in `to` is as if it were absent. A list of scalars that is
    /// merged is a set, so values that come twice in one are not kept apart.
    #[must_use]
    pub fn strategic_diff(&self, from: &Value, to: &Value) -> Value {
        strategic_diff(self.schemas, self.definition, from, to)
    }
}
