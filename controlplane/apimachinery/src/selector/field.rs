//! Field selectors: `spec.nodeName=a,status.phase!=Running`.

use std::fmt;

use serde_json::Value;

use super::SelectorError;
use crate::resource::Resource;

/// One comparison of a field with a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldTerm {
    /// The field's label, such as `spec.nodeName`.
    pub label: String,
    /// The text to compare with.
    pub value: String,
    /// Whether the field must equal it or must not.
    pub equal: bool,
}

/// Comparisons of fields, all of which must hold; none of them selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

impl FieldSelector {
    /// Reads `a=b,c==d,e!=f`; `\,`, `\=` and `\\` stand for themselves in values.
    ///
    /// # Errors
    ///
    /// Names the term that is no comparison, or the bad escape.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let terms = split_terms(text)
            .into_iter()
            .filter(|term| !term.is_empty())
            .map(|term| parse_term(text, term))
            .collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// The comparisons, in the order written.
    #[must_use]
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Whether every object is selected, so that nobody needs to look at fields.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that `label` must equal, if the selector asks for one: a list by name is a get.
    #[must_use]
    pub fn required(&self, label: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|term| term.equal && term.label == label)
            .map(|term| term.value.as_str())
    }

    /// Refuses a selector that names a field `resource` cannot be selected by.
    ///
    /// # Errors
    ///
    /// Names the first such field.
    pub fn check(&self, resource: &Resource) -> Result<(), SelectorError> {
        let unknown = self
            .terms
            .iter()
            .find(|term| resource.selectable_field(&term.label).is_none());
        match unknown.map(|term| term.label.clone()) {
            None => Ok(()),
            Some(label) if resource.selectable.is_empty() => Err(SelectorError::OnlyMetadata { label }),
            Some(label) => Err(SelectorError::UnknownField { label }),
        }
    }

    /// Whether every comparison holds for `object` (in its stored form), a `resource`. A field that
    /// cannot be selected by reads as empty.
    #[must_use]
    pub fn matches(&self, resource: &Resource, object: &Value) -> bool {
        self.terms.iter().all(|term| {
            let found = resource
                .selectable_field(&term.label)
                .map(|field| field.read(object));
            (found.as_deref().unwrap_or_default() == term.value) == term.equal
        })
    }
}

/// Splits at commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.extend(text.get(start..));
    terms
}

fn parse_term(selector: &str, term: &str) -> Result<FieldTerm, SelectorError> {
    let no_comparison = || SelectorError::Term {
        selector: selector.to_owned(),
        term: term.to_owned(),
    };
    let at = term.find(['!', '=']).ok_or_else(no_comparison)?;
    let (label, rest) = term.split_at_checked(at).ok_or_else(no_comparison)?;
    for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some(value) = rest.strip_prefix(sign) {
            return Ok(FieldTerm {
                label: label.to_owned(),
                value: unescape(value)?,
                equal,
            });
        }
    }
    Err(no_comparison())
}

fn unescape(text: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                other => {
                    let sequence = format!("\\{}", other.map(String::from).unwrap_or_default());
                    return Err(SelectorError::Escape { sequence });
                }
            },
            '=' => {
                return Err(SelectorError::Escape {
                    sequence: "=".to_owned(),
                });
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let sign = if term.equal { "=" } else { "!=" };
            write!(f, "{comma}{}{sign}{}", term.label, escape(&term.value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn term(label: &str, value: &str, equal: bool) -> FieldTerm {
        FieldTerm {
            label: label.to_owned(),
            value: value.to_owned(),
            equal,
        }
    }

    #[test]
    fn terms_are_read_with_their_escapes() {
        let selector =
            FieldSelector::parse("spec.nodeName=a,status.phase!=Running,x==1\\,2\\=3\\\\").unwrap();
        assert_eq!(
            selector.terms(),
            [
                term("spec.nodeName", "a", true),
                term("status.phase", "Running", false),
                term("x", "1,2=3\\", true)
            ]
        );
        assert_eq!(selector.required("spec.nodeName"), Some("a"));
        assert_eq!(selector.required("status.phase"), None);
        assert!(FieldSelector::parse("").unwrap().is_everything());
    }

    #[test]
    fn bad_terms_are_named() {
        for (text, message) in [
            ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
            ("a!b", "invalid selector: 'a!b'; can't understand 'a!b'"),
            ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
            ("a=b=c", "invalid field selector: invalid escape sequence: ="),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn a_printed_selector_reads_back_as_itself(
            terms in prop::collection::vec(("[a-z.]{1,10}", "[ -~]{0,10}", any::<bool>()), 0..4)
        ) {
            let terms = terms.iter().map(|(label, value, equal)| term(label, value, *equal)).collect();
            let selector = FieldSelector { terms };
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
        }
    }
}
