//! Members that a document holds more than once, in upstream's words.

use std::fmt;

/// A member that is there again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Duplicate {
    /// In JSON, by its path, such as `spec.containers[0].name`.
    Field(String),
    /// In YAML.
    Key {
        /// Where its value begins, counted from 1.
        line: usize,
        /// As Go prints it: text in quotes, numbers and truth values without.
        key: String,
    },
}

impl Duplicate {
    /// Whether it is told by a path that is `outer` or lies within it.
    #[must_use]
    pub fn is_within(&self, outer: &str) -> bool {
        match self {
            Self::Field(path) => path
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])),
            Self::Key { .. } => false,
        }
    }
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(path) => write!(f, "duplicate field \"{path}\""),
            Self::Key { line, key } => write!(f, "line {line}: key {key} already set in map"),
        }
    }
}

/// What strict validation says of them: those of YAML come as the one error of its reader.
#[must_use]
pub fn strict_errors(duplicates: &[Duplicate]) -> Vec<String> {
    let (keys, fields): (Vec<&Duplicate>, Vec<&Duplicate>) = duplicates
        .iter()
        .partition(|duplicate| matches!(duplicate, Duplicate::Key { .. }));
    let mut errors = Vec::new();
    if !keys.is_empty() {
        let lines: String = keys.iter().map(|key| format!("\n  {key}")).collect();
        errors.push(format!("yaml: unmarshal errors:{lines}"));
    }
    errors.extend(fields.iter().map(ToString::to_string));
    errors
}
