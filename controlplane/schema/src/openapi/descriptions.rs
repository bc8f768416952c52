//! What types and fields are for, in Kubernetes' words; only with the feature `descriptions`.

use std::collections::HashMap;

/// A line `[definition] "text"` for each definition, then a line `field "text"` for each of its fields; the
/// texts are JSON strings. The build script makes it.
#[cfg(feature = "descriptions")]
const TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/descriptions.table"));
#[cfg(not(feature = "descriptions"))]
const TEXT: &str = "";

/// The descriptions by definition and field; the definition itself is the empty field.
///
/// Made anew for each document, which the caller keeps: so they take no memory between documents.
#[derive(Debug)]
pub(super) struct Descriptions(HashMap<(&'static str, &'static str), &'static str>);

impl Descriptions {
    pub(super) fn load() -> Self {
        let mut found = HashMap::new();
        let mut definition = "";
        for line in TEXT.lines() {
            let Some((name, text)) = line.split_once(' ') else {
                continue;
            };
            match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                Some(name) => {
                    definition = name;
                    found.insert((name, ""), text);
                }
                None => drop(found.insert((definition, name), text)),
            }
        }
        Self(found)
    }

    /// The description of a field, or with an empty one of the definition itself.
    pub(super) fn of(&self, definition: &str, field: &str) -> Option<String> {
        let text = self.0.get(&(definition, field))?;
        serde_json::from_str(text)
            .ok()
            .filter(|text: &String| !text.is_empty())
    }
}

#[cfg(all(test, feature = "descriptions"))]
mod tests {
    use super::*;
    use crate::builtin;
    use controlplane_apimachinery::schema::model::Body;

    #[test]
    fn nearly_every_field_of_the_table_is_described() {
        let descriptions = Descriptions::load();
        let objects = builtin()
            .definitions()
            .filter(|found| matches!(found.body, Body::Object(_)));
        let fields =
            objects.flat_map(|found| found.fields().iter().map(|field| (&*found.name, &*field.name)));
        // Lists are generic in the crate, so that theirs are missing.
        let wanted: Vec<(&str, &str)> = fields.filter(|(name, _)| !name.ends_with("List")).collect();
        let is_missing = |(name, field): &&(&str, &str)| descriptions.of(name, field).is_none();
        let missing: Vec<_> = wanted.iter().filter(is_missing).collect();
        assert!(
            missing.len() * 40 < wanted.len(),
            "{} lack: {missing:?}",
            missing.len()
        );
    }
}
