//! Label selectors, as text (`app=web,tier in (a, b)`) and as the API's `LabelSelector` object.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::SelectorError;
use crate::field::{FieldError, Path};
use crate::names;

/// How a [`Requirement`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `k=v`, or `k in (…)`.
    In,
    /// `k!=v`, or `k notin (…)`; an absent key matches.
    NotIn,
    /// `k`.
    Exists,
    /// `!k`.
    DoesNotExist,
    /// `k>n`; both integers.
    GreaterThan,
    /// `k<n`; both integers.
    LessThan,
}

/// One condition of a selector. Its values are sorted and unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

impl Requirement {
    /// Checks key, operator and values against the rules for labels.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, FieldError> {
        values.sort();
        values.dedup();
        let path = Path::default();
        if let Some(rule) = names::qualified_name(key).into_iter().next() {
            return Err(path.child("key").invalid(key, rule));
        }
        check_count(operator, &values)?;
        for (index, value) in values.iter().enumerate() {
            if let Some(rule) = names::label_value(value).into_iter().next() {
                return Err(path.child("values").index(index).invalid(value.as_str(), rule));
            }
        }
        Ok(Self {
            key: key.to_owned(),
            operator,
            values,
        })
    }

    /// The label that is looked at.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How it is compared.
    #[must_use]
    pub const fn operator(&self) -> Operator {
        self.operator
    }

    /// With what it is compared.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    fn matches(&self, found: Option<&str>) -> bool {
        match (self.operator, found) {
            (Operator::In, Some(value)) => self.has(value),
            (Operator::NotIn, Some(value)) => !self.has(value),
            (Operator::NotIn | Operator::DoesNotExist, None) | (Operator::Exists, Some(_)) => true,
            (Operator::GreaterThan, Some(value)) => self.compare(value, |found, bound| found > bound),
            (Operator::LessThan, Some(value)) => self.compare(value, |found, bound| found < bound),
            (Operator::DoesNotExist, Some(_))
            | (Operator::In | Operator::Exists | Operator::GreaterThan | Operator::LessThan, None) => false,
        }
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|wanted| wanted == value)
    }

    fn compare(&self, found: &str, holds: fn(i64, i64) -> bool) -> bool {
        let bound = self.values.first().and_then(|bound| bound.parse().ok());
        found
            .parse()
            .ok()
            .zip(bound)
            .is_some_and(|(found, bound)| holds(found, bound))
    }
}

fn check_count(operator: Operator, values: &[String]) -> Result<(), FieldError> {
    let path = Path::new("values");
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => Err(path.invalid(
            Value::Array(Vec::new()),
            "for 'in', 'notin' operators, values set can't be empty",
        )),
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => Err(path.invalid(
            values.to_vec(),
            "values set must be empty for exists and does not exist",
        )),
        Operator::GreaterThan | Operator::LessThan if values.len() != 1 => Err(path.invalid(
            values.to_vec(),
            "for 'Gt', 'Lt' operators, exactly one value is required",
        )),
        Operator::GreaterThan | Operator::LessThan => match values.iter().find(|v| v.parse::<i64>().is_err())
        {
            Some(value) => Err(path.index(0).invalid(
                value.as_str(),
                "for 'Gt', 'Lt' operators, the value must be an integer",
            )),
            None => Ok(()),
        },
        Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist => Ok(()),
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let list = self.values.join(",");
        match (self.operator, self.values.len()) {
            (Operator::In, 1) => write!(f, "{key}={list}"),
            (Operator::In, _) => write!(f, "{key} in ({list})"),
            (Operator::NotIn, 1) => write!(f, "{key}!={list}"),
            (Operator::NotIn, _) => write!(f, "{key} notin ({list})"),
            (Operator::Exists, _) => write!(f, "{key}"),
            (Operator::DoesNotExist, _) => write!(f, "!{key}"),
            (Operator::GreaterThan, _) => write!(f, "{key}>{list}"),
            (Operator::LessThan, _) => write!(f, "{key}<{list}"),
        }
    }
}

/// Conditions on labels, all of which must hold; none of them selects everything.
///
/// Requirements are kept in order of key, as upstream prints them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Selects every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects no object; what an absent (null) API selector means.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            requirements: Vec::new(),
            nothing: true,
        }
    }

    /// A selector of the given requirements.
    #[must_use]
    pub fn from_requirements(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self {
            requirements,
            nothing: false,
        }
    }

    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`; the empty text selects everything.
    ///
    /// # Errors
    ///
    /// Says what stands where something else was expected, or which rule a key or value breaks.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        super::label_parse::parse(text).map(Self::from_requirements)
    }

    /// Reads the API's `LabelSelector` (`matchLabels`, `matchExpressions`); null selects nothing, the
    /// empty object everything.
    ///
    /// # Errors
    ///
    /// The first rule that a key, operator or value breaks.
    pub fn from_json(selector: &Value) -> Result<Self, SelectorError> {
        let Some(map) = selector.as_object() else {
            return Ok(Self::nothing());
        };
        let labels = map.get("matchLabels").and_then(Value::as_object);
        let mut requirements = Vec::new();
        for (key, value) in labels.into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement::new(key, Operator::In, vec![value])?);
        }
        let expressions = map.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            requirements.push(from_expression(expression)?);
        }
        Ok(Self::from_requirements(requirements))
    }

    /// The conditions.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether every object is selected, so that nobody needs to look at labels.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether the labels satisfy every condition.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.nothing
            && self
                .requirements
                .iter()
                .all(|wanted| wanted.matches(labels.get(&wanted.key).map(String::as_str)))
    }

    /// Whether the object's `metadata.labels` satisfy every condition; copies nothing.
    #[must_use]
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = object.get("metadata").and_then(|meta| meta.get("labels"));
        let find = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        !self.nothing
            && self
                .requirements
                .iter()
                .all(|wanted| wanted.matches(find(&wanted.key)))
    }
}

fn from_expression(expression: &Value) -> Result<Requirement, SelectorError> {
    let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
    let values = expression
        .get("values")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let values = values
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect();
    let operator = match text("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            return Err(Path::new("operator")
                .invalid(other, "not a valid selector operator")
                .into());
        }
    };
    Ok(Requirement::new(text("key"), operator, values)?)
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
