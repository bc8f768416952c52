//! What can be wrong with a patch.

use crate::codec::CodecError;
use crate::error::ApiError;
use crate::patch::{JsonPatchError, MAX_OPERATIONS, MEDIA_TYPES};

/// Why a patch cannot be read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The media type is of no patch that is known.
    #[error("the media type is of no known kind of patch")]
    Unknown,
    /// It is no JSON.
    #[error("error decoding patch: {0}")]
    Codec(#[from] CodecError),
    /// A merge patch that is no object.
    #[error("error decoding patch: it must be a JSON object")]
    NotAnObject,
    /// A JSON patch that is no list.
    #[error("error decoding patch: it must be a list of operations")]
    NotAList,
    /// A JSON patch with an operation that is none.
    #[error("error decoding patch: operation {place} {what}")]
    BadOperation {
        /// Its place, from 0.
        place: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A JSON patch that is too long.
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}")]
    TooManyOperations {
        /// How many it has.
        count: usize,
    },
    /// A JSON patch that does not fit the object.
    #[error(transparent)]
    Json(#[from] JsonPatchError),
    /// A strategic merge patch that cannot be applied.
    #[error(transparent)]
    Strategic(#[from] MergeError),
    /// A strategic merge patch of a kind without a schema.
    #[error("a kind without a schema has no strategic merge patch")]
    NoSchema,
}

/// As upstream answers: what cannot be read is a 400, what does not fit a 422 without a word why, and what its strategic
/// merge finds beside that a 500.
impl From<PatchError> for ApiError {
    fn from(error: PatchError) -> Self {
        match &error {
            PatchError::Codec(cause) if cause.is_too_large() => Self::too_large(&cause.to_string()),
            PatchError::Codec(_)
            | PatchError::NotAnObject
            | PatchError::NotAList
            | PatchError::BadOperation { .. } => Self::bad_request(error.to_string()),
            PatchError::Unknown => Self::unsupported_media_type(&MEDIA_TYPES),
            PatchError::NoSchema => Self::unsupported_media_type(MEDIA_TYPES.get(..2).unwrap_or_default()),
            PatchError::TooManyOperations { .. } => Self::too_large(&error.to_string()),
            PatchError::Json(_) => Self::unprocessable(),
            PatchError::Strategic(MergeError::ListOfLists { .. } | MergeError::NotRetained) => {
                Self::unprocessable()
            }
            PatchError::Strategic(
                MergeError::RetainKeys
                | MergeError::DirectiveNotAList { .. }
                | MergeError::NotAnObject { .. }
                | MergeError::TooDeep { .. },
            ) => Self::bad_request(error.to_string()),
            PatchError::Strategic(
                MergeError::NoMergeKey { .. }
                | MergeError::BadDirective { .. }
                | MergeError::MergeDirectiveInList
                | MergeError::NoKeyDeclared { .. }
                | MergeError::MixedTypes { .. }
                | MergeError::ElementOrder { .. },
            ) => Self::unknown(error.to_string()),
        }
    }
}

/// Why a strategic merge patch cannot be applied.
///
/// All of them are the sender's fault, none is worth a retry. The texts are those of Kubernetes' `strategicpatch` package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// An element of a list that is merged by key lacks that key.
    #[error("map: {element} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The element, printed as Go prints a map.
        element: String,
        /// The merge key that the list declares.
        key: String,
    },
    /// `$patch` has a value that is not `replace`, `delete` (or `merge`, where that may stand).
    #[error("unknown patch type: {directive} in map: {element}")]
    BadDirective {
        /// The value of `$patch`.
        directive: String,
        /// The map it stood in.
        element: String,
    },
    /// `$patch: merge` in an element of a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeDirectiveInList,
    /// A list of objects is to be merged, but its type declares no merge key.
    #[error("cannot merge lists without merge key for {field}")]
    NoKeyDeclared {
        /// The field that holds the list.
        field: String,
    },
    /// Elements of one list are of different types.
    #[error("list element types are not identical: {field}")]
    MixedTypes {
        /// The field that holds the list.
        field: String,
    },
    /// A list that is merged holds lists.
    #[error("lists of lists are not supported: {field}")]
    ListOfLists {
        /// The field that holds the list.
        field: String,
    },
    /// `$retainKeys` is no list.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// A field of the patch is not in its `$retainKeys`.
    #[error("patch content doesn't match retainKeys list")]
    NotRetained,
    /// A value of `$setElementOrder/<field>` or `$deleteFromPrimitiveList/<field>` is not a list.
    #[error("expected a list in {directive}, but received {received}")]
    DirectiveNotAList {
        /// The whole directive.
        directive: String,
        /// The JSON type that was there.
        received: &'static str,
    },
    /// The order of a patch's list contradicts its `$setElementOrder`.
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")]
    ElementOrder {
        /// The list of the patch.
        patch: String,
        /// The list of the directive.
        order: String,
    },
    /// The patch is not a JSON object.
    #[error("a strategic merge patch must be a JSON object, but received {received}")]
    NotAnObject {
        /// The JSON type that was there.
        received: &'static str,
    },
    /// The patch or the object is nested more deeply than any kind is.
    #[error("the patch is nested more than {limit} levels deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
}
