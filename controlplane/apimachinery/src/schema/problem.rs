//! What is structurally wrong with an object.

/// One thing that is structurally wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, such as `spec.containers[0].ports`.
    pub path: String,
    /// The class of the problem.
    pub kind: ProblemKind,
    /// What Kubernetes' decoder says about it, such as `json: cannot unmarshal string into Go struct
    /// field DeploymentSpec.spec.replicas of type int32`.
    pub detail: String,
}

/// The classes of structural problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A value of another JSON type than the field's.
    WrongType,
    /// A value of the right JSON type that the format does not allow: an integer out of range, a time
    /// that is none, a quantity that is none, base64 that is none.
    WrongFormat,
    /// A required field is not there. Found by [`super::TypeRef::missing`] only.
    Missing,
    /// The object is nested more deeply than any kind is.
    TooDeep,
}
