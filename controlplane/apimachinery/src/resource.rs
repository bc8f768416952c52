//! A kind as data: what the machinery needs to know to serve it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::strategy::Strategy;

/// Text of a resource: a constant for built-in kinds, owned for custom ones.
pub type Text = Cow<'static, str>;

/// Where objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In none.
    Cluster,
}

/// What can be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// POST to the collection, or to a subresource such as `binding`.
    Create,
    /// DELETE of one object.
    Delete,
    /// DELETE of the collection.
    DeleteCollection,
    /// GET of one object.
    Get,
    /// GET of the collection.
    List,
    /// PATCH.
    Patch,
    /// PUT.
    Update,
    /// GET of the collection with `watch`.
    Watch,
}

impl Verb {
    /// Every verb, in discovery's order: what an ordinary resource has.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];

    /// The verb in discovery and authorisation, such as `deletecollection`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

/// Group, version and kind of a body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupVersionKind {
    /// API group; empty for core.
    pub group: Text,
    /// Version, such as `v1`.
    pub version: Text,
    /// Kind, such as `Scale`.
    pub kind: Text,
}

impl GroupVersionKind {
    /// `apps/v1`, or `v1` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }
}

/// `apps/v1`, or `v1` for the core group.
#[must_use]
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// How a subresource works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads and writes the object's `status`.
    Status,
    /// Another path by which the object itself is updated: `approval`, `finalize`.
    Update,
    /// Reads and writes the number of replicas as an `autoscaling/v1` `Scale`.
    Scale,
    /// Binds a pod to a node.
    Binding,
    /// Deletes a pod where its disruption budgets allow it.
    Eviction,
    /// Issues a token for a service account.
    Token,
    /// Answered by others: `log`, `exec`, `attach` and `portforward` by a pod's node, `proxy` by what it leads to.
    Connect,
}

/// A path beneath an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subresource {
    /// Last segment of the path, such as `status`.
    pub name: Text,
    /// What its bodies are.
    pub body: GroupVersionKind,
    /// What can be done with it.
    pub verbs: Vec<Verb>,
    /// How it works.
    pub role: Role,
}

/// Turns an object, in place, from one version's form into another's.
pub type Convert = fn(&mut Value);

/// How objects are stored, where that is not the resource's own group, version and name.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Group and version of the stored bytes, and their kind.
    pub form: GroupVersionKind,
    /// Plural name under which they lie.
    pub resource: Text,
    /// From the resource's form into the stored one.
    pub encode: Convert,
    /// From the stored form into the resource's.
    pub decode: Convert,
}

/// How one text is read from an object.
#[derive(Debug, Clone)]
pub enum Source {
    /// The value at a dotted path, such as `spec.nodeName`; absent is empty.
    Path(Text),
    /// Computed.
    Computed(fn(&Value) -> String),
}

/// A field that a field selector may name.
#[derive(Debug, Clone)]
pub struct SelectableField {
    /// Its label in selectors, such as `spec.nodeName`.
    pub label: Text,
    /// How it is read.
    pub source: Source,
}

impl SelectableField {
    /// The field at the path that is also its label.
    #[must_use]
    pub const fn path(label: &'static str) -> Self {
        Self {
            label: Cow::Borrowed(label),
            source: Source::Path(Cow::Borrowed(label)),
        }
    }

    /// A computed field.
    #[must_use]
    pub const fn computed(label: &'static str, read: fn(&Value) -> String) -> Self {
        Self {
            label: Cow::Borrowed(label),
            source: Source::Computed(read),
        }
    }

    /// The field of `object` as a selector compares it.
    #[must_use]
    pub fn read(&self, object: &Value) -> String {
        match &self.source {
            Source::Path(path) => at(object, path).map(plain).unwrap_or_default(),
            Source::Computed(read) => read(object),
        }
    }
}

/// The value at a dotted path.
#[must_use]
pub fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(object, |value, member| value.get(member))
}

/// A scalar without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// How a cell of a table is filled.
#[derive(Debug, Clone)]
pub enum Cell {
    /// The value at a dotted path.
    Path(Text),
    /// The time since the one at a dotted path.
    Age(Text),
    /// Computed from the object and the current time.
    Computed(fn(&Value, Timestamp) -> Value),
}

/// A column of the tables that the server prints.
#[derive(Debug, Clone)]
pub struct Column {
    /// Header, such as `Ready`.
    pub name: Text,
    /// `string`, `integer`, `boolean`, `number` or `date`.
    pub type_name: Text,
    /// `name` for the column that identifies the object, else empty.
    pub format: Text,
    /// Explanation.
    pub description: Text,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
    /// How its cells are filled.
    pub cell: Cell,
}

/// A kind, as data: everything that the general machinery needs in order to serve it.
#[derive(Debug, Clone)]
pub struct Resource {
    /// API group; empty for core.
    pub group: Text,
    /// Version, such as `v1`.
    pub version: Text,
    /// Kind, such as `Pod`.
    pub kind: Text,
    /// Kind of lists, such as `PodList`.
    pub list_kind: Text,
    /// Name in paths, such as `pods`.
    pub plural: Text,
    /// Name for one, such as `pod`.
    pub singular: Text,
    /// Short names, such as `po`.
    pub short_names: Vec<Text>,
    /// Categories, such as `all`.
    pub categories: Vec<Text>,
    /// Whether objects live in namespaces.
    pub scope: Scope,
    /// What can be done.
    pub verbs: Vec<Verb>,
    /// Paths beneath an object.
    pub subresources: Vec<Subresource>,
    /// Columns of tables.
    pub columns: Vec<Column>,
    /// The kind's rules.
    pub strategy: Arc<dyn Strategy>,
    /// What field selectors may name beside `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<SelectableField>,
    /// How long an object lives, for kinds that expire.
    pub ttl: Option<Duration>,
    /// Where and how objects are stored, if not under the resource's own names.
    pub storage: Option<Storage>,
    /// Whether a PUT of an absent object creates it.
    pub create_on_update: bool,
    /// Whether a PUT without a resource version overwrites.
    pub unconditional_update: bool,
    /// What everybody who uses the resource is warned of, such as that another takes its place.
    pub warning: Option<Text>,
    /// Whether the answer to a DELETE that removes the object shows it, rather than a `Status`.
    pub shows_deleted: bool,
    /// Whether a create is answered and nothing is stored.
    pub transient: bool,
    /// Conditions of an object's row in a table, such as that a pod is done.
    pub row_conditions: Option<fn(&Value) -> Vec<Value>>,
    /// By what a table of a list is sorted, for kinds that upstream does not show by name.
    pub row_order: Option<fn(&Value) -> i64>,
}

const METADATA_FIELDS: [SelectableField; 2] = [
    SelectableField::path("metadata.name"),
    SelectableField::path("metadata.namespace"),
];

impl Resource {
    /// `apps/v1`, or `v1` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `deployments.apps`, or `pods` for the core group.
    #[must_use]
    pub fn qualified_name(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether objects live in namespaces.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Group under which objects are stored.
    #[must_use]
    pub fn storage_group(&self) -> &str {
        self.storage
            .as_ref()
            .map_or(&self.group, |storage| &storage.form.group)
    }

    /// Plural name under which objects are stored.
    #[must_use]
    pub fn storage_resource(&self) -> &str {
        self.storage
            .as_ref()
            .map_or(&self.plural, |storage| &storage.resource)
    }

    /// `apiVersion` of the stored bytes.
    #[must_use]
    pub fn storage_api_version(&self) -> String {
        self.storage
            .as_ref()
            .map_or_else(|| self.api_version(), |storage| storage.form.api_version())
    }

    /// Brings `object` from this resource's form into the stored one.
    pub fn to_storage(&self, object: &mut Value) {
        if let Some(storage) = &self.storage {
            (storage.encode)(object);
        }
    }

    /// Brings `object` from the stored form into this resource's; where [`Resource::storage`] is none,
    /// the stored bytes can be served as they are.
    pub fn from_storage(&self, object: &mut Value) {
        if let Some(storage) = &self.storage {
            (storage.decode)(object);
        }
    }

    /// The subresource `name`.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources
            .iter()
            .find(|subresource| subresource.name == name)
    }

    /// Whether the resource, or its subresource, can be used with `verb`.
    #[must_use]
    pub fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// The selectable field with this label.
    #[must_use]
    pub fn selectable_field(&self, label: &str) -> Option<&SelectableField> {
        const METADATA: &[SelectableField] = &METADATA_FIELDS;
        METADATA
            .iter()
            .chain(&self.selectable)
            .find(|field| field.label == label)
    }
}
