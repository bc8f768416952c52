//! Names of units and slices, checked once.

use std::fmt;

/// Why a text is no unit name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitNameError {
    /// Longer than [`UnitName::MAX_LEN`].
    #[error("unit name of {0} bytes is longer than {max}", max = UnitName::MAX_LEN)]
    TooLong(usize),
    /// Nothing stands before the suffix.
    #[error("unit name {0:?} is empty before its suffix")]
    Empty(String),
    /// A byte that systemd refuses.
    #[error("unit name {0:?} holds {1:?}; allowed are ASCII letters, digits and :-_.\\@")]
    BadCharacter(String, char),
    /// Not one of the kinds of unit the agent makes.
    #[error("unit name {0:?} ends in none of .service .scope .slice .target")]
    BadSuffix(String),
    /// A slice was expected.
    #[error("unit name {0:?} is no slice")]
    NotASlice(String),
}

/// Name of a unit, such as `floe-default:web-0:1a2b3c4d:nginx.service`.
///
/// Invariants: the characters of systemd.unit(5), at most 255 bytes, ending in `.service`,
/// `.scope`, `.slice` or `.target`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName(String);

impl UnitName {
    /// Longest name systemd accepts, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Checks `raw` against the rules above.
    ///
    /// # Errors
    ///
    /// Names the first rule that `raw` breaks.
    pub fn parse(raw: &str) -> Result<Self, UnitNameError> {
        if raw.len() > Self::MAX_LEN {
            return Err(UnitNameError::TooLong(raw.len()));
        }
        let stem = [".service", ".scope", ".slice", ".target"]
            .iter()
            .find_map(|suffix| raw.strip_suffix(suffix))
            .ok_or_else(|| UnitNameError::BadSuffix(raw.to_owned()))?;
        if stem.is_empty() {
            return Err(UnitNameError::Empty(raw.to_owned()));
        }
        match raw.chars().find(|c| !allowed(*c)) {
            Some(bad) => Err(UnitNameError::BadCharacter(raw.to_owned(), bad)),
            None => Ok(Self(raw.to_owned())),
        }
    }

    /// The name as systemd spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether systemd accepts `c` in a unit name.
fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@')
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a slice: a [`UnitName`] that ends in `.slice`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceName(UnitName);

impl SliceName {
    /// Checks that `raw` is a unit name and a slice.
    ///
    /// # Errors
    ///
    /// Names the first rule that `raw` breaks.
    pub fn parse(raw: &str) -> Result<Self, UnitNameError> {
        let name = UnitName::parse(raw)?;
        if raw.ends_with(".slice") {
            Ok(Self(name))
        } else {
            Err(UnitNameError::NotASlice(raw.to_owned()))
        }
    }

    /// The name as systemd spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same name where any unit will do.
    #[must_use]
    pub fn as_unit(&self) -> &UnitName {
        &self.0
    }
}

impl fmt::Display for SliceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<SliceName> for UnitName {
    fn from(slice: SliceName) -> Self {
        slice.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_unit_name_is_accepted() {
        let raw = "floe-default:web-0:1a2b3c4d:nginx.service";
        assert_eq!(UnitName::parse(raw).unwrap().as_str(), raw);
    }

    #[test]
    fn each_broken_rule_is_named() {
        assert!(matches!(
            UnitName::parse("a b.service"),
            Err(UnitNameError::BadCharacter(_, ' '))
        ));
        assert!(matches!(
            UnitName::parse("a/b.service"),
            Err(UnitNameError::BadCharacter(_, '/'))
        ));
        assert!(matches!(
            UnitName::parse(".service"),
            Err(UnitNameError::Empty(_))
        ));
        assert!(matches!(
            UnitName::parse("a.mount"),
            Err(UnitNameError::BadSuffix(_))
        ));
        let long = format!("{}.service", "a".repeat(248));
        assert!(matches!(UnitName::parse(&long), Err(UnitNameError::TooLong(256))));
        assert!(matches!(
            SliceName::parse("a.service"),
            Err(UnitNameError::NotASlice(_))
        ));
    }
}
