//! Reads the text of a schema table; its first lines describe the format.

use std::collections::HashMap;

use serde_json::Value;

use crate::schema::TableError;
use crate::schema::model::{
    Attributes, Body, DefaultValue, Definition, DefinitionId, Field, GroupVersionKind, Scalar, Shape,
};

/// All definitions of the table, in its order.
pub(crate) fn parse(text: &str) -> Result<Vec<Definition>, TableError> {
    let names = Names::collect(text);
    let mut definitions: Vec<Definition> = Vec::with_capacity(names.definitions.len());
    let mut package = "";
    for (place, raw) in text.lines().enumerate() {
        let syntax = |what| TableError::Syntax {
            line: place + 1,
            what,
        };
        if raw.is_empty() || raw.starts_with('#') {
            continue;
        }
        if let Some(header) = raw.strip_prefix('[') {
            package = header
                .split_once("] ")
                .ok_or_else(|| syntax("a package needs a label and a name"))?
                .1;
        } else if let Some(line) = raw.strip_prefix("  ") {
            let owner = definitions
                .last_mut()
                .ok_or_else(|| syntax("a field without a definition"))?;
            member(owner, line, package, &names, syntax)?;
        } else if package.is_empty() {
            return Err(syntax("a definition without a package"));
        } else {
            definitions.push(definition(raw, package).ok_or_else(|| syntax("no definition"))?);
        }
    }
    for definition in &mut definitions {
        if let Body::Object(fields) = &mut definition.body {
            fields.sort_by(|one, other| one.name.cmp(&other.name));
        }
    }
    Ok(definitions)
}

/// What names in the table stand for, collected before anything refers to them.
struct Names<'a> {
    packages: HashMap<&'a str, &'a str>,
    definitions: HashMap<(&'a str, &'a str), DefinitionId>,
}

impl<'a> Names<'a> {
    fn collect(text: &'a str) -> Self {
        let mut names = Self {
            packages: HashMap::new(),
            definitions: HashMap::new(),
        };
        let mut package = "";
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with(['#', ' ']))
        {
            if let Some((label, full)) = line.strip_prefix('[').and_then(|header| header.split_once("] ")) {
                package = full;
                names.packages.insert(label, full);
            } else if let Some(name) = line.split(' ').next() {
                let id = DefinitionId(names.definitions.len());
                names.definitions.insert((package, name), id);
            }
        }
        names
    }

    /// The definition that `name` means in `package`.
    fn find(&self, name: &str, package: &str) -> Result<DefinitionId, TableError> {
        let (package, name) = match name.rsplit_once('.') {
            Some((label, name)) => (self.packages.get(label).copied().unwrap_or(label), name),
            None => (package, name),
        };
        let found = self.definitions.get(&(package, name)).copied();
        found.ok_or_else(|| TableError::Dangling {
            name: format!("{package}.{name}"),
        })
    }
}

/// A line that begins a definition.
fn definition(line: &str, package: &str) -> Option<Definition> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (body, attributes) = match rest.strip_prefix("= ") {
        Some(scalar) => (Body::Scalar(Scalar::from_name(scalar)?), Attributes::default()),
        None => (Body::Object(Vec::new()), attributes(rest)?.0),
    };
    Some(Definition {
        name: format!("{package}.{name}").into(),
        body,
        kinds: Vec::new(),
        atomic: attributes.map_type.as_deref() == Some("atomic"),
        rules: &[],
    })
}

/// A line inside a definition: a kind or a field.
fn member(
    owner: &mut Definition,
    line: &str,
    package: &str,
    names: &Names<'_>,
    syntax: impl Fn(&'static str) -> TableError,
) -> Result<(), TableError> {
    if let Some(kind) = line.strip_prefix("@ ") {
        owner
            .kinds
            .push(group_version_kind(kind).ok_or_else(|| syntax("no group, version and kind"))?);
        return Ok(());
    }
    let Body::Object(fields) = &mut owner.body else {
        return Err(syntax("a field in a definition that is no object"));
    };
    let (name, rest) = line
        .split_once(": ")
        .ok_or_else(|| syntax("a field needs a type"))?;
    let (type_name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (attributes, default) = attributes(rest).ok_or_else(|| syntax("an attribute that is not known"))?;
    let required = name.ends_with('!');
    fields.push(Field {
        name: name.trim_end_matches('!').into(),
        shape: shape(type_name, package, names)?,
        required,
        attributes,
        default: default.map(|value| DefaultValue {
            value,
            fills_zero: false,
        }),
    });
    Ok(())
}

fn group_version_kind(text: &str) -> Option<GroupVersionKind> {
    let (group_version, kind) = text.split_once(' ')?;
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    Some(GroupVersionKind {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
    })
}

fn shape(text: &str, package: &str, names: &Names<'_>) -> Result<Shape, TableError> {
    let inside = |open, close| {
        text.strip_prefix(open)
            .and_then(|rest: &str| rest.strip_suffix(close))
    };
    Ok(if let Some(items) = inside('[', ']') {
        Shape::List(Box::new(shape(items, package, names)?))
    } else if let Some(values) = inside('{', '}') {
        Shape::Map(Box::new(shape(values, package, names)?))
    } else if let Some(scalar) = Scalar::from_name(text) {
        Shape::Scalar(scalar)
    } else {
        Shape::Named(names.find(text, package)?)
    })
}

/// Attributes and default of a field; `None` where one is not known.
fn attributes(text: &str) -> Option<(Attributes, Option<Value>)> {
    let mut found = Attributes::default();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(json) = rest.strip_prefix("default=") {
            return Some((found, Some(serde_json::from_str(json).ok()?)));
        }
        let (attribute, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = tail;
        let (name, value) = attribute.split_once('=')?;
        let list = || value.split(',').map(Into::into).collect();
        match name {
            "list" => found.list_type = Some(value.into()),
            "keys" => found.list_keys = list(),
            "map" => found.map_type = Some(value.into()),
            "merge" => found.merge_key = Some(value.into()),
            "patch" => found.strategies = list(),
            "enum" => found.allowed = list(),
            _ => return None,
        }
    }
    Some((found, None))
}
