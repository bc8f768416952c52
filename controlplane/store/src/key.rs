use std::fmt;
use std::sync::Arc;

/// The name under which an object is stored:
/// `/registry/<group>/<resource>/<namespace>/<name>`, the core group without a segment and
/// cluster-scoped objects without a namespace.
///
/// Keys are ordered by their bytes, which is the order in which Kubernetes lists
/// (`default/web` after `default-x/web`, because `-` sorts before `/`).
///
/// Invariants: begins with `/registry/`, has no empty segment, no control character, and at
/// most [`Key::MAX_LEN`] bytes. Cloning shares the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// The rule of [`Key`] that a text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not begin as all keys do.
    #[error("storage key {0:?} does not begin with {root}", root = Key::ROOT)]
    OutsideRegistry(String),
    /// Two slashes follow each other, or one ends the key.
    #[error("storage key {0:?} has an empty segment")]
    EmptySegment(String),
    /// A control character would make keys ambiguous in logs and tools.
    #[error("storage key {0:?} has a control character")]
    ControlCharacter(String),
    /// It is longer than [`Key::MAX_LEN`].
    #[error("storage key of {0} bytes is longer than {max}", max = Key::MAX_LEN)]
    TooLong(usize),
}

impl Key {
    /// Where every key begins.
    pub const ROOT: &'static str = "/registry/";

    /// Longest key in bytes: group, resource, namespace and name are at most 253 bytes each.
    pub const MAX_LEN: usize = 1100;

    /// Checks `raw` against the rules above.
    ///
    /// # Errors
    ///
    /// Names the first rule that `raw` breaks.
    pub fn parse(raw: &str) -> Result<Self, KeyError> {
        if raw.len() > Self::MAX_LEN {
            return Err(KeyError::TooLong(raw.len()));
        }
        let Some(rest) = raw.strip_prefix(Self::ROOT) else {
            return Err(KeyError::OutsideRegistry(raw.to_owned()));
        };
        if rest.split('/').any(str::is_empty) {
            return Err(KeyError::EmptySegment(raw.to_owned()));
        }
        if rest.chars().any(char::is_control) {
            return Err(KeyError::ControlCharacter(raw.to_owned()));
        }
        Ok(Self(Arc::from(raw)))
    }

    /// The whole key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment, which is the object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_each_scope_parses_and_knows_its_name() {
        for (raw, name) in [
            ("/registry/pods/default/web-0", "web-0"),
            ("/registry/apps/deployments/default/web", "web"),
            ("/registry/namespaces/default", "default"),
        ] {
            assert_eq!(Key::parse(raw).unwrap().name(), name);
        }
    }

    #[test]
    fn a_key_that_breaks_a_rule_is_refused_by_that_rule() {
        assert!(matches!(Key::parse("/pods/a"), Err(KeyError::OutsideRegistry(_))));
        assert!(matches!(
            Key::parse("/registry/pods//a"),
            Err(KeyError::EmptySegment(_))
        ));
        assert!(matches!(
            Key::parse("/registry/pods/"),
            Err(KeyError::EmptySegment(_))
        ));
        assert!(matches!(
            Key::parse("/registry/pods/a\n"),
            Err(KeyError::ControlCharacter(_))
        ));
        let long = format!("/registry/{}", "a".repeat(Key::MAX_LEN));
        assert!(matches!(Key::parse(&long), Err(KeyError::TooLong(_))));
    }
}
