//! What can be wrong with a table.

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
