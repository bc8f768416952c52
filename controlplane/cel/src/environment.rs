//! What an expression may refer to.

use std::collections::BTreeMap;

use crate::types::Type;

/// The variables of an expression, and the types with members that they have. Functions are those of every
/// expression in Kubernetes.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Type>,
    members: BTreeMap<String, BTreeMap<String, Type>>,
    patches: bool,
    bindings: bool,
}

impl Environment {
    /// One without variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the variable `name`, which may be qualified: `authorizer.requestResource`.
    #[must_use]
    pub fn with(mut self, name: &str, kind: Type) -> Self {
        self.variables.insert(name.to_owned(), kind);
        self
    }

    /// With a type that has these members and no others.
    #[must_use]
    pub fn with_type<'a>(mut self, name: &str, members: impl IntoIterator<Item = (&'a str, Type)>) -> Self {
        let members = members.into_iter().map(|(field, kind)| (field.to_owned(), kind));
        self.members.insert(name.to_owned(), members.collect());
        self
    }

    /// With the types by which a policy writes changes: `Object`, `Object.spec` and so on, `JSONPatch`.
    #[must_use]
    pub fn with_patches(mut self) -> Self {
        self.patches = true;
        self
    }

    /// With `cel.bind(name, value, expression)`.
    #[must_use]
    pub fn with_bindings(mut self) -> Self {
        self.bindings = true;
        self
    }

    /// Gives the type `name` the member `field`.
    pub fn add_member(&mut self, name: &str, field: &str, kind: Type) {
        let members = self.members.entry(name.to_owned()).or_default();
        members.insert(field.to_owned(), kind);
    }

    pub(crate) fn has_bindings(&self) -> bool {
        self.bindings
    }

    pub(crate) fn has_patches(&self) -> bool {
        self.patches
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    /// Whether values of the type `name` can be written.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.members.contains_key(name) || (self.patches && is_patch(name))
    }

    /// The type of a member; none where the type has no such member.
    pub(crate) fn member(&self, name: &str, field: &str) -> Option<Type> {
        if self.patches && name == "JSONPatch" {
            return match field {
                "op" | "path" | "from" => Some(Type::Text),
                "value" => Some(Type::Dyn),
                _ => None,
            };
        }
        if self.patches && is_patch(name) {
            return Some(Type::Dyn);
        }
        self.members.get(name)?.get(field).cloned()
    }
}

fn is_patch(name: &str) -> bool {
    matches!(name, "Object" | "JSONPatch") || name.starts_with("Object.")
}
