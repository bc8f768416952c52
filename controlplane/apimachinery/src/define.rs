//! Building a [`Resource`] with the least words: what is usual is the default.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::names;
use crate::resource::{
    Cell, Column, GroupVersionKind, Resource, Role, Scope, SelectableField, Subresource, Verb,
};
use crate::strategy::{Plain, Strategy};

const NAME_HELP: &str = "Name must be unique within a namespace. Is required when creating resources, although \
    some resources may allow a client to request the generation of an appropriate name automatically. Name is \
    primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const AGE_HELP: &str = "CreationTimestamp is a timestamp representing the server time when this object was \
    created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not \
    set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null \
    for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// A namespaced kind with every verb, a DNS subdomain as name, and nothing else.
#[must_use]
pub fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Resource {
    Resource {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(kind),
        list_kind: Cow::Owned(format!("{kind}List")),
        plural: Cow::Borrowed(plural),
        singular: Cow::Owned(kind.to_lowercase()),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: Scope::Namespaced,
        verbs: Verb::ALL.to_vec(),
        subresources: Vec::new(),
        columns: vec![name(), age()],
        strategy: Arc::new(Plain {
            name_check: names::dns_subdomain,
            tracks_generation: false,
        }),
        selectable: Vec::new(),
        ttl: None,
        storage: None,
        create_on_update: false,
        unconditional_update: true,
        warning: None,
        shows_deleted: false,
        transient: false,
        row_conditions: None,
        row_order: None,
    }
}

impl Resource {
    /// Adds short names, such as `po`.
    #[must_use]
    pub fn short(mut self, names: &[&'static str]) -> Self {
        self.short_names = names.iter().map(|name| Cow::Borrowed(*name)).collect();
        self
    }

    /// Puts the kind into a category, such as `all`.
    #[must_use]
    pub fn in_category(mut self, name: &'static str) -> Self {
        self.categories.push(Cow::Borrowed(name));
        self
    }

    /// Its objects live in no namespace.
    #[must_use]
    pub fn cluster_wide(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    /// Sets the rules.
    #[must_use]
    pub fn ruled_by(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Arc::new(strategy);
        self
    }

    /// Sets the columns of tables.
    #[must_use]
    pub fn shown_by(mut self, columns: Vec<Column>) -> Self {
        self.columns = columns;
        self
    }

    /// Sets what field selectors may name beside name and namespace.
    #[must_use]
    pub fn selected_by(mut self, fields: Vec<SelectableField>) -> Self {
        self.selectable = fields;
        self
    }

    /// Adds a subresource whose bodies are the object itself.
    #[must_use]
    pub fn with_part(self, name: &'static str, role: Role, verbs: &[Verb]) -> Self {
        let body = GroupVersionKind {
            group: self.group.clone(),
            version: self.version.clone(),
            kind: self.kind.clone(),
        };
        self.with_subresource(name, role, verbs, body)
    }

    /// Adds `/status`.
    #[must_use]
    pub fn with_status(self) -> Self {
        self.with_part("status", Role::Status, &[Verb::Get, Verb::Patch, Verb::Update])
    }

    /// Adds `/scale`.
    #[must_use]
    pub fn with_scale(self) -> Self {
        let verbs = [Verb::Get, Verb::Patch, Verb::Update];
        self.with_subresource("scale", Role::Scale, &verbs, body("autoscaling", "v1", "Scale"))
    }

    /// Sets the conditions of rows in tables.
    #[must_use]
    pub fn row_conditions(mut self, of: fn(&Value) -> Vec<Value>) -> Self {
        self.row_conditions = Some(of);
        self
    }

    /// Sets by what tables of lists are sorted, before the name.
    #[must_use]
    pub fn rows_by(mut self, key: fn(&Value) -> i64) -> Self {
        self.row_order = Some(key);
        self
    }

    /// Answers a DELETE with the object that is gone.
    #[must_use]
    pub fn showing_deleted(mut self) -> Self {
        self.shows_deleted = true;
        self
    }

    /// Takes a verb away.
    #[must_use]
    pub fn without(mut self, verb: Verb) -> Self {
        self.verbs.retain(|found| *found != verb);
        self
    }

    /// Adds a subresource.
    #[must_use]
    pub fn with_subresource(
        mut self,
        name: &'static str,
        role: Role,
        verbs: &[Verb],
        body: GroupVersionKind,
    ) -> Self {
        let verbs = verbs.to_vec();
        self.subresources.push(Subresource {
            name: Cow::Borrowed(name),
            body,
            verbs,
            role,
        });
        self
    }
}

/// The group, version and kind of a subresource's bodies.
#[must_use]
pub fn body(group: &'static str, version: &'static str, kind: &'static str) -> GroupVersionKind {
    GroupVersionKind {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(kind),
    }
}

fn column(name: &'static str, type_name: &'static str, help: &'static str, cell: Cell) -> Column {
    Column {
        name: Cow::Borrowed(name),
        type_name: Cow::Borrowed(type_name),
        format: Cow::Borrowed(""),
        description: Cow::Borrowed(help),
        priority: 0,
        cell,
    }
}

impl Column {
    /// Shows the column with `-o wide` only.
    #[must_use]
    pub fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }
}

/// The name, by which clients know a row's object.
#[must_use]
pub fn name() -> Column {
    let cell = Cell::Path(Cow::Borrowed("metadata.name"));
    Column {
        format: Cow::Borrowed("name"),
        ..column("Name", "string", NAME_HELP, cell)
    }
}

/// The time since creation.
#[must_use]
pub fn age() -> Column {
    column(
        "Age",
        "string",
        AGE_HELP,
        Cell::Age(Cow::Borrowed("metadata.creationTimestamp")),
    )
}

/// The text at a path.
#[must_use]
pub fn field(name: &'static str, path: &'static str, help: &'static str) -> Column {
    column(name, "string", help, Cell::Path(Cow::Borrowed(path)))
}

/// A computed text.
#[must_use]
pub fn text(name: &'static str, help: &'static str, fill: fn(&Value, Timestamp) -> Value) -> Column {
    column(name, "string", help, Cell::Computed(fill))
}

/// A computed whole number.
#[must_use]
pub fn number(name: &'static str, help: &'static str, fill: fn(&Value, Timestamp) -> Value) -> Column {
    column(name, "integer", help, Cell::Computed(fill))
}
