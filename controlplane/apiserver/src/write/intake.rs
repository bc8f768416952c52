//! From the bytes of a request to an object whose structure is sound.

use controlplane_api::{ApiError, Resource, meta};
use controlplane_schema::Schemas;
use serde_json::Value;

use crate::call::Call;
use crate::request::body;
use crate::request::json::Document;
use crate::request::query::{FieldValidation, WriteOptions};

/// The object of a request, structurally sound, and how it is to be written.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) object: Value,
    pub(crate) options: WriteOptions,
    /// What the client should be told so far.
    pub(crate) warnings: Vec<String>,
}

/// Reads a request that carries an object of the kind `expected`.
///
/// # Errors
///
/// 400 for bad options and objects, 415 for a form that is not read.
pub(crate) fn read(
    call: &Call,
    expected: Expected<'_>,
    media_type: &str,
    bytes: &[u8],
) -> Result<Intake, ApiError> {
    let options = WriteOptions::parse(&call.query)?;
    let mut document = body::decode(media_type, bytes)?;
    let warnings = admit(
        call.server.schemas,
        expected,
        &mut document,
        options.field_validation,
    )?;
    Ok(Intake {
        object: document.value,
        options,
        warnings,
    })
}

/// Group, version and kind that a body must be of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
}

impl<'a> Expected<'a> {
    /// Objects of `resource`.
    pub(crate) fn of(resource: &'a Resource) -> Self {
        Self {
            group: &resource.group,
            version: &resource.version,
            kind: &resource.kind,
        }
    }

    pub(crate) fn api_version(&self) -> String {
        controlplane_api::resource::api_version(self.group, self.version)
    }

    /// 400, as upstream's decoder says it.
    fn unfit(&self, why: &str) -> ApiError {
        let Self { version, kind, .. } = self;
        let gv = self.api_version();
        let version = if self.group.is_empty() {
            (*version).to_owned()
        } else {
            gv
        };
        let short = version.rsplit('/').next().unwrap_or_default();
        ApiError::bad_request(format!(
            "{kind} in version \"{short}\" cannot be handled as a {kind}: {why}"
        ))
    }
}

/// Checks a decoded document against its kind, prunes and defaults it; answers with warnings.
///
/// # Errors
///
/// 400 where it is of another kind or structure, or, under strict validation, where it has unknown
/// or duplicate fields.
pub(crate) fn admit(
    schemas: &Schemas,
    expected: Expected<'_>,
    document: &mut Document,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    let object = &mut document.value;
    fit_kind(expected, object)?;
    if let Some(metadata) = object.get("metadata")
        && !metadata.is_object()
        && !metadata.is_null()
    {
        return Err(expected.unfit("metadata must be an object"));
    }
    let Some(schema) = schemas.kind(expected.group, expected.version, expected.kind) else {
        return strictness(expected, &document.duplicates, &[], validation);
    };
    let problems = schema.check(object);
    if let Some(first) = problems.first() {
        return Err(expected.unfit(&first.detail));
    }
    let unknown = match validation {
        FieldValidation::Ignore => Vec::new(),
        FieldValidation::Warn | FieldValidation::Strict => schema.unknown_fields(object),
    };
    let warnings = strictness(expected, &document.duplicates, &unknown, validation)?;
    schema.prune(object);
    schema.default(object);
    Ok(warnings)
}

/// Fills in an absent kind and refuses a wrong one.
fn fit_kind(expected: Expected<'_>, object: &mut Value) -> Result<(), ApiError> {
    let Expected { kind, .. } = expected;
    if !object.is_object() {
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind})"
        )));
    }
    let text = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (given_version, given_kind) = (text("apiVersion"), text("kind"));
    let api_version = expected.api_version();
    let fits = |given: &str, wanted: &str| given.is_empty() || given == wanted;
    if !fits(&given_kind, kind) {
        return Err(ApiError::bad_request(format!(
            "{given_kind} in version \"{given_version}\" cannot be handled as a {kind}: the kind in the body does not \
             match the resource in the URL"
        )));
    }
    if !fits(&given_version, &api_version) {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )));
    }
    let map = meta::object_mut(object);
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.into());
    Ok(())
}

/// What becomes of duplicate and unknown fields.
fn strictness(
    expected: Expected<'_>,
    duplicates: &[String],
    unknown: &[String],
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    let duplicates = duplicates
        .iter()
        .map(|path| format!("duplicate field \"{path}\""));
    let unknown = unknown.iter().map(|path| format!("unknown field \"{path}\""));
    let found: Vec<String> = duplicates.chain(unknown).collect();
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(found),
        FieldValidation::Strict if found.is_empty() => Ok(found),
        FieldValidation::Strict => {
            Err(expected.unfit(&format!("strict decoding error: {}", found.join(", "))))
        }
    }
}
