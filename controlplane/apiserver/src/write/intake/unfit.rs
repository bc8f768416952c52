//! The kind that a body must be of, and what is said of one that is not.

use controlplane_api::{ApiError, Resource, meta};
use controlplane_schema::{Schemas, TypeRef};
use serde_json::Value;

/// Group, version and kind that a body must be of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
    /// An earlier version with the same fields, which is taken for this one.
    pub(crate) earlier: Option<&'a str>,
}

impl<'a> Expected<'a> {
    /// Objects of `resource`.
    pub(crate) fn of(resource: &'a Resource) -> Self {
        Self {
            group: &resource.group,
            version: &resource.version,
            kind: &resource.kind,
            earlier: None,
        }
    }

    /// The structure of the kind, where it is known.
    pub(crate) fn schema<'s>(&self, schemas: &'s Schemas) -> Option<TypeRef<'s>> {
        schemas.kind(self.group, self.version, self.kind)
    }

    pub(crate) fn api_version(&self) -> String {
        controlplane_api::resource::api_version(self.group, self.version)
    }

    /// Whether objects of `api_version` are taken.
    pub(super) fn takes(&self, api_version: &str) -> bool {
        let of = |version| controlplane_api::resource::api_version(self.group, version) == api_version;
        of(self.version) || self.earlier.is_some_and(of)
    }

    /// 400, as upstream's decoder says it.
    pub(super) fn unfit(&self, why: &str) -> ApiError {
        let Self { version, kind, .. } = self;
        ApiError::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
        ))
    }

    /// 400 for what is no object of any kind; `bytes` are the body.
    pub(super) fn unrecognized(&self, why: &str, bytes: &[u8]) -> ApiError {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            self.kind,
            summary(bytes)
        ))
    }

    /// 400 for an object of another kind or version.
    pub(super) fn another(&self, schemas: &Schemas, api_version: &str, kind: &str) -> ApiError {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if schemas.kind(group, version, kind).is_none() {
            return ApiError::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {}: no kind \"{kind}\" is registered for version \
                 \"{api_version}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
                self.kind
            ));
        }
        if kind == self.kind {
            let expected = self.api_version();
            return ApiError::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({expected})"
            ));
        }
        // The names of upstream's packages: one a version, and an inner one a group.
        let inner = match self.group.split('.').next() {
            None | Some("" | "events") => "core",
            Some(group) => group,
        };
        ApiError::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {0}: converting ({version}.{kind}) to ({inner}.{0}): \
             unknown conversion",
            self.kind
        ))
    }

    /// Writes version and kind into an object.
    pub(super) fn name_in(&self, object: &mut Value) {
        let map = meta::object_mut(object);
        map.insert("apiVersion".to_owned(), self.api_version().into());
        map.insert("kind".to_owned(), self.kind.into());
    }
}

/// Why a document is no object, as Go says it.
pub(super) fn no_object(value: &Value) -> String {
    let what = match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null | Value::Object(_) => "object",
    };
    format!(
        "couldn't get version/kind; json parse error: json: cannot unmarshal {what} into Go value of type struct {{ \
         APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    )
}

/// The beginning of a body, as a refusal shows it: as text where it could be JSON, else as bytes.
fn summary(bytes: &[u8]) -> String {
    const SHOWN: usize = 30;
    let head = bytes.get(..SHOWN).unwrap_or(bytes);
    let more = if bytes.len() > SHOWN { " ..." } else { "" };
    match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => {
            let hex: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}
