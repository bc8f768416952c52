//! The table of all definitions, and the way from a kind to its type.

use std::collections::HashMap;

use crate::schema::model::{Body, Definition, DefinitionId, Resolved, Scalar, Shape};
use crate::schema::{Rule, TableError, TypeRef, defaulting, table};

/// A set of type definitions and the kinds that they make up.
#[derive(Debug, Default)]
pub struct Schemas {
    definitions: Vec<Definition>,
    by_name: HashMap<Box<str>, DefinitionId>,
    by_kind: HashMap<Box<str>, Vec<DefinitionId>>,
}

impl Schemas {
    /// Reads a table of types and a table of defaults for them, in the formats that
    /// `kubernetes.table` and `defaults.table` of `controlplane-schema` describe in their first lines.
    ///
    /// # Errors
    ///
    /// Names the line that does not have the form the format asks for, or the name that is not defined.
    pub fn parse(types: &str, defaults: &str) -> Result<Self, TableError> {
        let mut schemas = Self::index(table::parse(types)?);
        defaulting::apply_table(&mut schemas, defaults)?;
        Ok(schemas)
    }

    /// Gives each definition the rules that `of` has for its full name: defaults that depend on other fields,
    /// which run after the static ones.
    #[must_use]
    pub fn with_rules(mut self, of: impl Fn(&str) -> &'static [Rule]) -> Self {
        for definition in &mut self.definitions {
            definition.rules = of(&definition.name);
        }
        self
    }

    fn index(definitions: Vec<Definition>) -> Self {
        let mut schemas = Self::default();
        for (place, definition) in definitions.iter().enumerate() {
            schemas
                .by_name
                .insert(definition.name.clone(), DefinitionId(place));
            for kind in &definition.kinds {
                schemas
                    .by_kind
                    .entry(kind.kind.clone())
                    .or_default()
                    .push(DefinitionId(place));
            }
        }
        Self {
            definitions,
            ..schemas
        }
    }

    /// The type of a kind; the core group is the empty string.
    #[must_use]
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeRef<'_>> {
        let candidates = self.by_kind.get(kind)?;
        let definition = candidates
            .iter()
            .filter_map(|id| self.get(*id))
            .find(|definition| {
                let mut kinds = definition.kinds.iter();
                kinds.any(|own| *own.group == *group && *own.version == *version && *own.kind == *kind)
            })?;
        Some(TypeRef {
            schemas: self,
            definition,
        })
    }

    /// The definition with this full name, such as `io.k8s.api.core.v1.Container`.
    #[must_use]
    pub fn definition(&self, name: &str) -> Option<TypeRef<'_>> {
        let definition = self.by_name.get(name).and_then(|id| self.get(*id))?;
        Some(TypeRef {
            schemas: self,
            definition,
        })
    }

    /// Every definition.
    pub fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.definitions.iter()
    }

    pub(crate) fn definition_mut(&mut self, name: &str) -> Option<&mut Definition> {
        let id = self.by_name.get(name)?;
        self.definitions.get_mut(id.0)
    }

    /// The definition at this place of the table.
    #[must_use]
    pub fn get(&self, id: DefinitionId) -> Option<&Definition> {
        self.definitions.get(id.0)
    }

    /// What `shape` is, with a name looked up.
    #[must_use]
    pub fn resolve<'a>(&'a self, shape: &'a Shape) -> Resolved<'a> {
        match shape {
            Shape::Scalar(scalar) => Resolved::Scalar(*scalar),
            Shape::List(items) => Resolved::List(items),
            Shape::Map(values) => Resolved::Map(values),
            // The parser of tables lets no name through that is not defined.
            Shape::Named(id) => match self.get(*id) {
                None => Resolved::Scalar(Scalar::Any),
                Some(definition) => match definition.body {
                    Body::Scalar(scalar) => Resolved::Scalar(scalar),
                    Body::Object(_) => Resolved::Object(definition),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_names_what_it_lacks_is_refused() {
        let error = Schemas::parse("[a] pkg.a\nBox\n  lid: Lid\n", "").expect_err("Lid is not defined");
        assert_eq!(
            error,
            TableError::Dangling {
                name: "pkg.a.Lid".into()
            }
        );
        assert!(matches!(
            Schemas::parse("Box\n", ""),
            Err(TableError::Syntax { line: 1, .. })
        ));
        let error = Schemas::parse("[a] pkg.a\nBox\n  lid: string\n", "[pkg.a]\nBox.hinge = 1\n");
        assert_eq!(
            error.err(),
            Some(TableError::Dangling {
                name: "pkg.a.Box.hinge".into()
            })
        );
    }
}
