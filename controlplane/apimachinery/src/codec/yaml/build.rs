//! A document from the events of its parser.

use std::collections::HashMap;

use saphyr_parser::{Event, ScalarStyle, Tag};
use serde_json::{Map, Value};

use super::Mistake;
use super::scalar::{self, Meant};
use crate::codec::budget::{Budget, ITEM};
use crate::codec::read::LISTED;
use crate::codec::{DEPTH, Document, Duplicate};
use crate::go;

/// A collection that has begun and not ended.
#[derive(Debug)]
struct Open {
    /// Name by which aliases repeat it; 0 for none.
    anchor: usize,
    /// Where it begins.
    line: usize,
    part: Part,
}

#[derive(Debug)]
enum Part {
    Items(Vec<Value>),
    Members(Members),
}

#[derive(Debug, Default)]
struct Members {
    map: Map<String, Value>,
    /// Whose value comes next.
    key: Option<Key>,
}

/// Of what comes twice the last counts, whether written out or merged.
#[derive(Debug)]
enum Key {
    Name {
        name: String,
        printed: String,
        line: usize,
    },
    Merge,
}

/// What repeats by an alias.
#[derive(Debug)]
struct Anchored {
    value: Value,
    depth: usize,
}

/// A document as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Builder {
    root: Option<Value>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    duplicates: Vec<Duplicate>,
    budget: Budget,
}

impl Builder {
    /// What was read; null where nothing was.
    pub(super) fn document(self) -> Document {
        Document {
            value: self.root.unwrap_or_default(),
            duplicates: self.duplicates,
        }
    }

    /// Takes the next event, which begins at `line`.
    pub(super) fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Mistake> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, (anchor, tag.as_deref()), line)
            }
            Event::SequenceStart(anchor, _) => self.begin(anchor, line, Part::Items(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(anchor, line, Part::Members(Members::default())),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, line),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        (anchor, tag): (usize, Option<&Tag>),
        line: usize,
    ) -> Result<(), Mistake> {
        let plain = style == ScalarStyle::Plain;
        if plain && tag.is_none() && text == "<<" && self.awaits_key() {
            return self.key(Key::Merge);
        }
        let value = match scalar::resolve(text, plain, tag) {
            Ok(Meant::Value(value)) => value,
            Ok(Meant::NotANumber) => return Err(wrong(line, format!("{text} is no number that JSON has"))),
            Err(tag) => return Err(wrong(line, format!("cannot decode `{text}` as a {tag}"))),
        };
        self.budget.take(text.len())?;
        // What is not written stands where its key does.
        let line = if text.is_empty() && plain {
            self.line_of_key()
        } else {
            Some(line)
        };
        self.put(anchor, value, line.unwrap_or(1))
    }

    fn begin(&mut self, anchor: usize, line: usize, part: Part) -> Result<(), Mistake> {
        if self.awaits_key() {
            return Err(wrong(
                line,
                "a collection cannot be the name of a member".to_owned(),
            ));
        }
        if self.open.len() >= DEPTH {
            return Err(too_deep(line));
        }
        self.open.push(Open { anchor, line, part });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Mistake> {
        let Some(Open { anchor, line, part }) = self.open.pop() else {
            return Ok(());
        };
        let value = match part {
            Part::Items(items) => Value::Array(items),
            Part::Members(members) => Value::Object(members.map),
        };
        self.put(anchor, value, line)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), Mistake> {
        let Some(Anchored { value, depth }) = self.anchors.get(&anchor) else {
            return Err(wrong(line, "an anchor's value contains itself".to_owned()));
        };
        if self.open.len() + depth > DEPTH {
            return Err(too_deep(line));
        }
        self.budget.take_copy(value)?;
        let value = value.clone();
        self.put(0, value, line)
    }

    /// Puts a value that is complete into its place; `anchor` is how aliases name it, `line` where it begins.
    fn put(&mut self, anchor: usize, value: Value, line: usize) -> Result<(), Mistake> {
        if anchor != 0 {
            let depth = self.budget.take_copy(&value)?;
            let value = value.clone();
            self.anchors.insert(anchor, Anchored { value, depth });
        }
        if self.awaits_key() {
            return self.key(name(value, line)?);
        }
        match self.open.last_mut().map(|open| &mut open.part) {
            None => self.root = Some(value),
            Some(Part::Items(items)) => {
                self.budget.take(ITEM)?;
                items.push(value);
            }
            Some(Part::Members(members)) => match members.key.take() {
                Some(Key::Merge) => {
                    for (name, value) in mergeable(value, line)?.into_iter().rev().flatten() {
                        self.budget.take_member(&members.map, &name)?;
                        members.map.insert(name, value);
                    }
                }
                Some(Key::Name { name, printed, .. }) => {
                    self.budget.take_member(&members.map, &name)?;
                    let again = members.map.insert(name, value).is_some();
                    if again && self.duplicates.len() < LISTED {
                        self.duplicates.push(Duplicate::Key { line, key: printed });
                    }
                }
                None => {}
            },
        }
        Ok(())
    }

    /// Whether the next value names a member.
    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                part: Part::Members(Members { key: None, .. }),
                ..
            })
        )
    }

    fn line_of_key(&self) -> Option<usize> {
        match &self.open.last()?.part {
            Part::Members(Members {
                key: Some(Key::Name { line, .. }),
                ..
            }) => Some(*line),
            _ => None,
        }
    }

    fn key(&mut self, key: Key) -> Result<(), Mistake> {
        if let Some(Open {
            part: Part::Members(members),
            ..
        }) = self.open.last_mut()
        {
            members.key = Some(key);
        }
        Ok(())
    }
}

fn wrong(line: usize, what: String) -> Mistake {
    Mistake::Meaning { line, what }
}

fn too_deep(line: usize) -> Mistake {
    wrong(line, format!("exceeded max depth of {DEPTH}"))
}

/// The name of a member, which may look like a number or a truth value.
fn name(value: Value, line: usize) -> Result<Key, Mistake> {
    let printed = go::literal(&value);
    let name = match value {
        Value::String(name) => name,
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(wrong(
                line,
                "the name of a member must be text, a number or a truth value".to_owned(),
            ));
        }
    };
    Ok(Key::Name { name, printed, line })
}

/// What `<<` may name: a map, or several of which the first counts.
fn mergeable(value: Value, line: usize) -> Result<Vec<Map<String, Value>>, Mistake> {
    let of = |value| match value {
        Value::Object(map) => Some(map),
        _ => None,
    };
    let maps = match value {
        Value::Array(items) => items.into_iter().map(of).collect(),
        one => of(one).map(|map| vec![map]),
    };
    maps.ok_or_else(|| {
        wrong(
            line,
            "map merge requires map or sequence of maps as the value".to_owned(),
        )
    })
}
