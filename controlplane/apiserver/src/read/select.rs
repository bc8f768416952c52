//! Which entries a request is about: folder, labels and fields, looking into bytes only where needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane_api::resource::Source;
use controlplane_api::selector::FieldTerm;
use controlplane_api::{ApiError, FieldSelector, LabelSelector, Resource};
use controlplane_store::{Entry, Key};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::Value;

use crate::request::query::ListOptions;

/// The storage key of an object.
///
/// # Errors
///
/// 404, since what cannot be a key cannot be there.
pub(crate) fn key(resource: &Resource, namespace: Option<&str>, name: &str) -> Result<Key, ApiError> {
    let raw = format!("{}{name}", folder(resource, namespace));
    Key::parse(&raw).map_err(|_| ApiError::not_found(&resource.group, &resource.plural, name))
}

/// The beginning of all keys of a resource, in one namespace or in all.
pub(crate) fn folder(resource: &Resource, namespace: Option<&str>) -> String {
    let mut folder = String::from(Key::ROOT);
    for part in [
        resource.storage_group(),
        resource.storage_resource(),
        namespace.unwrap_or_default(),
    ] {
        if !part.is_empty() {
            folder.push_str(part);
            folder.push('/');
        }
    }
    folder
}

/// Label and field conditions on the entries of one resource.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    resource: Arc<Resource>,
    folder: String,
    namespace: Option<String>,
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
    /// Texts that the bytes of every selected entry hold: most pods of other nodes are sifted out by these, and never
    /// parsed.
    texts: Vec<Finder<'static>>,
}

/// What is read of an object's metadata.
#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Selection {
    /// The conditions of a list or watch.
    ///
    /// # Errors
    ///
    /// 400 for a field by which this kind cannot be selected.
    pub(crate) fn new(
        resource: &Arc<Resource>,
        namespace: Option<&str>,
        options: &ListOptions,
    ) -> Result<Self, ApiError> {
        let fields = options.fields.clone().filter(|fields| !fields.is_everything());
        if let Some(fields) = &fields {
            fields
                .check(resource)
                .map_err(|error| ApiError::bad_request(error.to_string()))?;
        }
        let asked = fields
            .as_ref()
            .and_then(|fields| fields.required("metadata.namespace"));
        let namespace = namespace
            .or(asked.filter(|_| resource.is_namespaced()))
            .map(str::to_owned);
        let terms = fields.as_ref().map(FieldSelector::terms).unwrap_or_default();
        let texts = terms.iter().filter(|term| is_kept_as_text(resource, term));
        let texts = texts.map(|term| Finder::new(&term.value).into_owned()).collect();
        Ok(Self {
            texts,
            folder: folder(resource, namespace.as_deref()),
            resource: Arc::clone(resource),
            namespace,
            labels: options.labels.clone().filter(|labels| !labels.is_everything()),
            fields,
        })
    }

    /// The folder of the kind, in the namespace that is asked for.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// The shortest beginning that all selected keys have in common.
    pub(crate) fn prefix(&self) -> String {
        let one_folder = !self.resource.is_namespaced() || self.namespace.is_some();
        let name = self
            .fields
            .as_ref()
            .filter(|_| one_folder)
            .and_then(|fields| fields.required("metadata.name"));
        format!("{}{}", self.folder, name.unwrap_or_default())
    }

    /// Whether every entry under the prefix is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_none() && self.fields.is_none()
    }

    /// Whether `entry` is selected.
    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        self.labels_match(entry) && self.fields_match(entry)
    }

    fn labels_match(&self, entry: &Entry) -> bool {
        let Some(labels) = &self.labels else { return true };
        let metadata = serde_json::Deserializer::from_slice(entry.value.from_metadata());
        let read = metadata.into_iter::<Labels>().next();
        read.is_some_and(|read| {
            read.is_ok_and(|metadata| labels.matches(&metadata.labels.unwrap_or_default()))
        })
    }

    fn fields_match(&self, entry: &Entry) -> bool {
        let Some(fields) = &self.fields else {
            return true;
        };
        if fields
            .required("metadata.name")
            .is_some_and(|name| name != entry.key.name())
        {
            return false;
        }
        let bytes = entry.value.bytes();
        if !self.texts.iter().all(|text| text.find(bytes).is_some()) {
            return false;
        }
        serde_json::from_slice::<Value>(bytes).is_ok_and(|object| fields.matches(&self.resource, &object))
    }
}

/// Whether the stored bytes of an object for which `term` holds have its text in them as it is.
fn is_kept_as_text(resource: &Resource, term: &FieldTerm) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let literal = term.equal && !term.value.is_empty() && term.value.bytes().all(plain);
    let field = resource.selectable_field(&term.label);
    literal && field.is_some_and(|field| matches!(field.source, Source::Path(_)))
}
