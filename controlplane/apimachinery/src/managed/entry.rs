//! The entries of `metadata.managedFields`: who owns which fields.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::set::{FieldSet, FieldSetError};
use crate::time;

/// Most entries of updates; beyond that the oldest of a version become one.
const MAX_UPDATES: usize = 10;
/// Whose entry that one is.
const ANCIENT: &str = "ancient-changes";

/// How a manager came to own its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// By saying in server-side apply that it wants them.
    Apply,
    /// By changing them.
    Update,
}

impl Operation {
    /// As entries write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One manager's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the manager.
    pub manager: String,
    /// How it came to own them.
    pub operation: Operation,
    /// The version in which the fields are named.
    pub api_version: String,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
    /// When it last changed something.
    pub time: Option<String>,
    /// The fields.
    pub fields: FieldSet,
}

impl Entry {
    /// Whether both are entries of one manager: a manager that applies has one, whatever the version.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.manager == other.manager
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// By what upstream sorts the managers of conflicts.
    pub(super) fn identity(&self) -> String {
        let mut members = vec![format!("\"manager\":{}", Value::from(self.manager.as_str()))];
        members.push(format!("\"operation\":\"{}\"", self.operation.as_str()));
        if self.operation == Operation::Update {
            members.push(format!(
                "\"apiVersion\":{}",
                Value::from(self.api_version.as_str())
            ));
        }
        if !self.subresource.is_empty() {
            members.push(format!(
                "\"subresource\":{}",
                Value::from(self.subresource.as_str())
            ));
        }
        format!("{{{}}}", members.join(","))
    }

    fn seconds(&self) -> i64 {
        let time = self.time.as_deref().and_then(time::parse);
        time.map(Timestamp::as_second).unwrap_or_default()
    }

    fn decode(entry: &Value, place: usize) -> Result<Self, EntryError> {
        let text = |field: &str| {
            entry
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err(EntryError::Operation),
        };
        match text("fieldsType").as_str() {
            _ if text("apiVersion").is_empty() => return Err(EntryError::NoVersion),
            "FieldsV1" => {}
            "" => return Err(EntryError::NoFieldsType { place }),
            _ => {
                let given = text("fieldsType");
                return Err(EntryError::FieldsType { given, place });
            }
        }
        let fields = match entry.get("fieldsV1") {
            None | Some(Value::Null) => FieldSet::default(),
            Some(fields) => FieldSet::parse(fields)?,
        };
        Ok(Self {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: Some(text("time")).filter(|time| !time.is_empty()),
            fields,
        })
    }

    fn encode(self) -> Value {
        let mut entry = Map::new();
        let mut put = |field: &str, value: Value| drop(entry.insert(field.to_owned(), value));
        put("manager", self.manager.into());
        put("operation", self.operation.as_str().into());
        put("apiVersion", self.api_version.into());
        put("fieldsType", "FieldsV1".into());
        put("fieldsV1", self.fields.into_json());
        if let Some(time) = self.time {
            put("time", time.into());
        }
        if !self.subresource.is_empty() {
            put("subresource", self.subresource.into());
        }
        Value::Object(entry)
    }
}

/// Why `managedFields` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It is no list.
    #[error("managedFields must be a list")]
    NotAList,
    /// An operation is none.
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    /// An entry does not say in which version it names fields.
    #[error("apiVersion must not be empty")]
    NoVersion,
    /// An entry does not say how it names fields.
    #[error("missing fieldsType in managed fields entry {place}")]
    NoFieldsType {
        /// Its place in the list.
        place: usize,
    },
    /// An entry names fields in a way nobody knows.
    #[error("invalid fieldsType {given:?} in managed fields entry {place}")]
    FieldsType {
        /// The way.
        given: String,
        /// Its place in the list.
        place: usize,
    },
    /// The fields of an entry cannot be read.
    #[error("error decoding versioned set: {0}")]
    Fields(#[from] FieldSetError),
}

/// Who owns which fields of one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Managed(pub(super) Vec<Entry>);

impl Managed {
    /// Reads `metadata.managedFields`; of two entries of one manager, the later counts.
    ///
    /// # Errors
    ///
    /// The first entry that cannot be read.
    pub fn decode(list: &Value) -> Result<Self, EntryError> {
        let mut managed = Self::default();
        let entries = match list {
            Value::Null => return Ok(managed),
            Value::Array(entries) => entries,
            _ => return Err(EntryError::NotAList),
        };
        for (place, entry) in entries.iter().enumerate() {
            let entry = Entry::decode(entry, place)?;
            managed.0.retain(|known| !known.is_of(&entry));
            managed.0.push(entry);
        }
        Ok(managed)
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether nobody owns anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The list as it is stored, in upstream's order; `None` where nobody owns anything.
    #[must_use]
    pub fn encode(mut self) -> Option<Value> {
        if self.0.len() > 1 {
            self.0.sort_by_cached_key(|entry| {
                let Entry {
                    manager,
                    api_version,
                    subresource,
                    ..
                } = entry;
                let names = (manager.clone(), api_version.clone(), subresource.clone());
                (entry.operation, entry.seconds(), names)
            });
        }
        let entries: Vec<Value> = self.0.into_iter().map(Entry::encode).collect();
        (!entries.is_empty()).then_some(Value::Array(entries))
    }

    /// The manager's entry.
    pub(super) fn find(&self, wanted: &Entry) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.is_of(wanted))
    }

    /// Puts an entry in the place of the manager's former one.
    pub(super) fn put(&mut self, entry: Entry) {
        self.0.retain(|known| !known.is_of(&entry));
        if !entry.fields.is_empty() {
            self.0.push(entry);
        }
    }

    /// Adds fields that a manager has changed to its entry.
    pub(super) fn add(&mut self, entry: Entry) {
        if entry.fields.is_empty() {
            return;
        }
        match self.0.iter_mut().find(|known| known.is_of(&entry)) {
            Some(known) => {
                known.fields.unite(entry.fields);
                known.time = entry.time;
            }
            None => self.0.push(entry),
        }
    }

    /// Makes one entry a version of the oldest updates, until there are few enough.
    pub(super) fn cap(&mut self) {
        let mut count = self.updates().count();
        if count <= MAX_UPDATES {
            return;
        }
        let mut oldest: Vec<Entry> = self.updates().cloned().collect();
        oldest.sort_by_cached_key(|entry| (entry.seconds(), entry.identity()));
        let mut first: BTreeMap<String, Entry> = BTreeMap::new();
        for entry in oldest {
            if count <= MAX_UPDATES {
                return;
            }
            let bucket = Entry {
                manager: ANCIENT.to_owned(),
                subresource: String::new(),
                ..entry.clone()
            };
            let Some(before) = first.get(&entry.api_version) else {
                first.insert(entry.api_version.clone(), entry);
                continue;
            };
            self.0
                .retain(|known| !known.is_of(before) && !known.is_of(&entry));
            let mut merged = bucket.clone();
            merged.fields.unite(before.fields.clone());
            // The bucket may have been there from an earlier time, under its own name.
            if let Some(known) = self.find(&bucket) {
                merged.fields.unite(known.fields.clone());
            }
            self.put(merged.clone());
            first.insert(entry.api_version, merged);
            count = self.updates().count();
        }
    }

    fn updates(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(|entry| entry.operation == Operation::Update)
    }
}
