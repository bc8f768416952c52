//! `--set PATH=VALUE`.

use anyhow::{Context, bail};
use controlplane_api::codec;
use serde_json::{Map, Value};

/// A field to set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    path: Vec<Step>,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    /// The list element whose field has this value, as `[name=web]`.
    Where(String, String),
}

impl Setting {
    /// Reads `spec.containers[name=web].image=web:2`; the value is YAML, so numbers and lists are what they look
    /// like, and quotes make text. A backslash takes a dot into a name: `metadata.labels.example\.com/a=b`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (path, value) =
            split_outside_brackets(text).with_context(|| format!("{text}: must be PATH=VALUE"))?;
        let value = if value.is_empty() {
            Value::String(String::new())
        } else {
            let read = codec::from_yaml(value.as_bytes());
            read.with_context(|| format!("{text}: understand the value {value}"))?
                .value
        };
        Ok(Self {
            path: steps(path).with_context(|| format!("{text}: understand the path {path}"))?,
            value,
        })
    }

    /// Sets the field in `object`, making objects on the way that are missing.
    pub(crate) fn apply(&self, object: &mut Value) -> anyhow::Result<()> {
        let mut at = object;
        for step in &self.path {
            at = step.enter(at)?;
        }
        *at = self.value.clone();
        Ok(())
    }
}

impl Step {
    fn enter<'a>(&self, at: &'a mut Value) -> anyhow::Result<&'a mut Value> {
        match self {
            Self::Field(name) => {
                if at.is_null() {
                    *at = Value::Object(Map::new());
                }
                let fields = at
                    .as_object_mut()
                    .with_context(|| format!("{name} cannot be set in what is no object"))?;
                Ok(fields.entry(name).or_insert(Value::Null))
            }
            Self::Index(index) => {
                let list = at
                    .as_array_mut()
                    .with_context(|| format!("[{index}] needs a list"))?;
                let len = list.len();
                list.get_mut(*index)
                    .with_context(|| format!("[{index}] is beyond the list of {len}"))
            }
            Self::Where(field, value) => {
                let list = at
                    .as_array_mut()
                    .with_context(|| format!("[{field}={value}] needs a list"))?;
                let fits = |element: &&mut Value| element.get(field).and_then(Value::as_str) == Some(value);
                list.iter_mut()
                    .find(fits)
                    .with_context(|| format!("no element has {field}={value}"))
            }
        }
    }
}

/// Splits at the first `=` that is not inside brackets.
fn split_outside_brackets(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_i32;
    let at = text.char_indices().find_map(|(at, letter)| {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            '=' if depth == 0 => return Some(at),
            _ => {}
        }
        None
    })?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn steps(path: &str) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for part in split_at_dots(path) {
        let (name, brackets) = match part.split_once('[') {
            Some((name, rest)) => (name.to_owned(), Some(rest.to_owned())),
            None => (part, None),
        };
        if name.is_empty() {
            bail!("a name is empty");
        }
        steps.push(Step::Field(name));
        for bracket in brackets.iter().flat_map(|rest| rest.split('[')) {
            steps.push(element(
                bracket.strip_suffix(']').context("a bracket is not closed")?,
            )?);
        }
    }
    Ok(steps)
}

fn element(inside: &str) -> anyhow::Result<Step> {
    match inside.split_once('=') {
        Some((field, value)) => Ok(Step::Where(field.to_owned(), value.to_owned())),
        None => Ok(Step::Index(inside.parse().with_context(|| {
            format!("[{inside}] is neither number nor name=value")
        })?)),
    }
}

/// Parts between dots; not at `\.`, and not inside brackets.
fn split_at_dots(path: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let mut depth = 0_i32;
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'.') => part.extend(letters.next()),
            '.' if depth == 0 => parts.push(std::mem::take(&mut part)),
            _ => {
                depth += i32::from(letter == '[') - i32::from(letter == ']');
                part.push(letter);
            }
        }
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(object: Value, text: &str) -> anyhow::Result<Value> {
        let mut object = object;
        Setting::parse(text)?.apply(&mut object)?;
        Ok(object)
    }

    #[test]
    fn a_field_is_set_where_the_path_leads() {
        assert_eq!(
            set(json!({"spec": {"a": 1}}), "spec.replicas=3").unwrap(),
            json!({"spec": {"a": 1, "replicas": 3}})
        );
        assert_eq!(
            set(json!({}), "data.key='3'").unwrap(),
            json!({"data": {"key": "3"}})
        );
        assert_eq!(
            set(json!({}), r"metadata.labels.a\.b/c=d").unwrap(),
            json!({"metadata": {"labels": {"a.b/c": "d"}}})
        );
        let pod = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b.c", "image": "1"}]});
        assert_eq!(
            set(pod.clone(), "containers[0].image=x:2").unwrap()["containers"][0]["image"],
            "x:2"
        );
        assert_eq!(
            set(pod, "containers[name=b.c].image=x:2").unwrap()["containers"][1]["image"],
            "x:2"
        );
    }

    #[test]
    fn a_path_that_leads_nowhere_says_so() {
        let pod = json!({"list": [], "text": "x"});
        for text in [
            "novalue",
            "list[3].a=1",
            "list[x].a=1",
            "list[name=a].b=1",
            "text.a=1",
            "a..b=1",
            "list[0=1",
        ] {
            assert!(set(pod.clone(), text).is_err(), "{text}");
        }
    }
}
