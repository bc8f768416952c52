//! Label and field selectors: what a list, a watch or a workload picks.

mod field;
mod label;
mod label_parse;

pub use field::{FieldSelector, FieldTerm};
pub use label::{LabelSelector, Operator, Requirement};

/// A selector that cannot be read; says which part and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The text of a label selector breaks the grammar.
    #[error("unable to parse requirement: found '{found}', expected: {expected}")]
    Syntax {
        /// What stands there; empty at the end.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// A key, value or operator breaks its rules.
    #[error("unable to parse requirement: {0}")]
    Requirement(#[from] crate::field::FieldError),
    /// A term of a field selector is no comparison.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole selector.
        selector: String,
        /// The part that is no comparison.
        term: String,
    },
    /// A backslash before something that needs none.
    #[error("invalid field selector: invalid escape sequence: {sequence}")]
    Escape {
        /// The sequence as written.
        sequence: String,
    },
    /// The resource has no such selectable field.
    #[error("field label not supported: {label}")]
    UnknownField {
        /// The field's label as written.
        label: String,
    },
    /// The resource's only selectable fields are its name and namespace.
    #[error(
        "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        crate::field::quote(label)
    )]
    OnlyMetadata {
        /// The field's label as written.
        label: String,
    },
}

impl From<SelectorError> for crate::error::ApiError {
    fn from(error: SelectorError) -> Self {
        Self::bad_request(error.to_string())
    }
}
