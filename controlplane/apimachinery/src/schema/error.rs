//! What can be wrong with a patch or with a table.

/// Why a strategic merge patch cannot be applied.
///
/// All of them are the sender's fault (400 or 422), none is worth a retry. The texts are those of
/// Kubernetes' `strategicpatch` package.
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
    /// `$retainKeys` is no list, or a field of the patch is not in it.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// A value of `$setElementOrder/<field>` or `$deleteFromPrimitiveList/<field>` is not a list.
    #[error("expected a list in {directive}, but received {received}")]
    DirectiveNotAList {
        /// The whole directive.
        directive: String,
        /// The JSON type that was there.
        received: &'static str,
    },
    /// The order of a patch's list contradicts its `$setElementOrder`.
    #[error("the order in patch list:\n{patch}\n doesn't match {directive} list:\n{order}\n")]
    ElementOrder {
        /// The list of the patch.
        patch: String,
        /// The whole directive.
        directive: String,
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

/// Why a schema table cannot be read: always a bug of the generator, or a table edited by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A line does not have the form that the format asks for.
    #[error("read schema table, line {line}: {what}")]
    Syntax {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A definition or field is named that the table does not hold.
    #[error("read schema table: `{name}` is named but not defined")]
    Dangling {
        /// The name.
        name: String,
    },
}
