//! From the input to the text of the table: which definitions it holds, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use crate::input::{Input, Schema};
use crate::render;

const HEADER: &str = "\
# Types of the Kubernetes kinds, made by schema-gen from the published JSON schemas. Do not edit.
#
# [label] package of the definitions below; `label.Name` refers to them from other packages.
# Name = type                   a definition that is no object
# Name attributes               a definition whose fields follow
#   @ group/version Kind        a kind that this is the type of
#   field!: type attributes     `!` says required
#
# Types: string byte int32 int64 double bool time microtime quantity int-or-string, `any` JSON, `free`
# (an object whose fields are nobody's business), [list], {map}, and names of definitions.
# Attributes: list=atomic|set|map keys=K,K map=atomic merge=KEY patch=STRATEGY,STRATEGY enum=V,V default=JSON
";

/// The text of the table that `json`, a `_definitions.json`, makes.
pub(crate) fn generate(json: &[u8]) -> Result<String> {
    let input: Input = serde_json::from_slice(json).context("not a file of Kubernetes JSON schemas")?;
    let names = reachable(&input.definitions)?;
    ensure!(
        !names.is_empty(),
        "no definition belongs to a group, version and kind"
    );
    let labels = labels(&names);
    let mut out = String::from(HEADER);
    let mut current = "";
    for name in names {
        let (package, _) = split(name);
        if package != current {
            let label = labels.get(package).map_or(package, String::as_str);
            writeln!(out, "\n[{label}] {package}")?;
            current = package;
        }
        let schema = input
            .definitions
            .get(name)
            .context("a reachable definition is defined")?;
        let scope = render::Scope {
            package,
            labels: &labels,
        };
        render::definition(&mut out, name, schema, &scope).with_context(|| format!("definition {name}"))?;
    }
    Ok(out)
}

/// Names of all definitions that belong to a kind, or that one of those refers to; packages stay together.
fn reachable(definitions: &BTreeMap<String, Schema>) -> Result<Vec<&str>> {
    let mut pending: Vec<&str> = definitions
        .iter()
        .filter(|(_, schema)| !schema.kinds.is_empty())
        .map(|(name, _)| name.as_str())
        .collect();
    let mut found = BTreeSet::new();
    while let Some(name) = pending.pop() {
        if found.insert(split(name)) {
            let schema = definitions
                .get(name)
                .with_context(|| format!("{name} is referred to, not defined"))?;
            pending.extend(schema.references());
        }
    }
    let known: BTreeMap<_, _> = definitions
        .keys()
        .map(|name| (split(name), name.as_str()))
        .collect();
    Ok(found.iter().filter_map(|name| known.get(name).copied()).collect())
}

/// A short label for each package: its last two segments, or the whole name where these are not unique.
fn labels(names: &[&str]) -> BTreeMap<String, String> {
    let packages: BTreeSet<&str> = names.iter().map(|name| split(name).0).collect();
    let short = |package: &str| {
        let mut segments: Vec<&str> = package.rsplit('.').take(2).collect();
        segments.reverse();
        segments.join(".")
    };
    let is_unique = |label: &str| packages.iter().filter(|other| short(other) == label).count() == 1;
    packages
        .iter()
        .map(|package| {
            let label = Some(short(package)).filter(|label| is_unique(label));
            (
                (*package).to_owned(),
                label.unwrap_or_else(|| (*package).to_owned()),
            )
        })
        .collect()
}

/// Package and name of a definition.
pub(crate) fn split(full: &str) -> (&str, &str) {
    full.rsplit_once('.').unwrap_or(("", full))
}

#[cfg(test)]
mod tests;
