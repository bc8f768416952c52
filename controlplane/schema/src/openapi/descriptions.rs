//! What types and fields are for: in Kubernetes' words, with the feature `descriptions`, and in ours of what they leave
//! out and of our own kinds.

use std::collections::HashMap;

/// What the build script does not find, in the same form.
const BY_HAND: &str = include_str!("../../by-hand.descriptions");

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
        for line in TEXT.lines().chain(BY_HAND.lines()) {
            let Some((name, text)) = line.split_once(' ') else {
                continue;
            };
            let member = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                Some(name) => {
                    definition = name;
                    ""
                }
                None => name,
            };
            if text != "\"\"" {
                found.insert((definition, member), text);
            }
        }
        Self(found)
    }

    /// The description of a field, or with an empty one of the definition itself.
    pub(super) fn of(&self, definition: &str, field: &str) -> Option<String> {
        let Some(text) = self.0.get(&(definition, field)) else {
            return of_list(definition, field);
        };
        serde_json::from_str(text).ok()
    }
}

/// Lists are all alike; the crate has one generic type of them and no words for each.
fn of_list(definition: &str, field: &str) -> Option<String> {
    const CONVENTIONS: &str =
        "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
    let kind = definition.rsplit('.').next()?.strip_suffix("List")?;
    Some(match field {
        "" => format!("{kind}List is a list of {kind} objects."),
        "apiVersion" => format!(
            "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: {CONVENTIONS}#resources"
        ),
        "items" => format!("items is the list of {kind} objects."),
        "kind" => format!(
            "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: {CONVENTIONS}#types-kinds"
        ),
        "metadata" => format!("Standard list metadata. More info: {CONVENTIONS}#types-kinds"),
        _ => return None,
    })
}

#[cfg(all(test, feature = "descriptions"))]
mod tests {
    use super::*;
    use crate::builtin;
    use controlplane_apimachinery::schema::model::Body;

    /// But for JSON Schema's, which nobody describes, in a kind that is not served.
    #[test]
    fn every_type_and_field_of_the_table_is_described() {
        let descriptions = Descriptions::load();
        let objects = builtin()
            .definitions()
            .filter(|found| matches!(found.body, Body::Object(_)))
            .filter(|found| !found.name.contains(".apiextensions."));
        let members = objects.flat_map(|found| {
            let fields = found.fields().iter().map(|field| &*field.name);
            fields.chain([""]).map(|field| (&*found.name, field))
        });
        let missing: Vec<_> = members
            .filter(|(name, field)| descriptions.of(name, field).is_none())
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
