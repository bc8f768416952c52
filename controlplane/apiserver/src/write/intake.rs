//! From the bytes of a request to an object whose structure is sound.

mod unfit;

use controlplane_api::field::Path;
use controlplane_api::{ApiError, Reason};
use controlplane_apimachinery::codec::{self, Document, Duplicate};
use controlplane_apimachinery::patch::Patch;
use controlplane_schema::Schemas;
use serde_json::Value;

use crate::call::Call;
use crate::request::body;
use crate::request::query::{FieldValidation, WriteOptions};
pub(crate) use unfit::Expected;

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
    let options = WriteOptions::parse(&call.query, call.options_kind())?;
    let mut document = body::decode(media_type, bytes).map_err(|error| match error.reason() {
        Reason::BadRequest => expected.unrecognized(&error.to_string(), bytes),
        _ => error,
    })?;
    if !document.value.is_object() && !document.value.is_null() {
        return Err(expected.unrecognized(&unfit::no_object(&document.value), bytes));
    }
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
    fit_kind(schemas, expected, &mut document.value)?;
    settle(schemas, expected, document, validation).map_err(|why| expected.unfit(&why))
}

/// As [`admit`], for what a patch has made of an object: upstream finds it invalid, not malformed.
///
/// # Errors
///
/// 422.
pub(crate) fn admit_patched(
    schemas: &Schemas,
    expected: Expected<'_>,
    (patch, document): (&Patch, &mut Document),
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    let shown = patch.shown(&document.value);
    let kind = match patch {
        // It knows the kind by its type: whatever the patch says is passed over.
        Patch::Strategic(_) => {
            expected.name_in(&mut document.value);
            Ok(())
        }
        _ => fit_kind(schemas, expected, &mut document.value).map_err(|error| error.to_string()),
    };
    kind.and_then(|()| settle(schemas, expected, document, validation))
        .map_err(|why| {
            let mistake = Path::new("patch").invalid(shown.as_str(), why);
            ApiError::invalid("", "", "", vec![mistake])
        })
}

/// Checks the structure of an object of the right kind, prunes and defaults it; answers with warnings, or why it cannot
/// be handled.
fn settle(
    schemas: &Schemas,
    expected: Expected<'_>,
    document: &mut Document,
    validation: FieldValidation,
) -> Result<Vec<String>, String> {
    let object = &mut document.value;
    if let Some(metadata) = object.get("metadata")
        && !metadata.is_object()
        && !metadata.is_null()
    {
        return Err("metadata must be an object".to_owned());
    }
    let Some(schema) = expected.schema(schemas) else {
        return strictness(&document.duplicates, &[], validation);
    };
    let problems = schema.check(object);
    if let Some(first) = problems.into_iter().next() {
        return Err(first.detail);
    }
    let unknown = match validation {
        FieldValidation::Ignore => Vec::new(),
        FieldValidation::Warn | FieldValidation::Strict => schema.unknown_fields(object),
    };
    let warnings = strictness(&document.duplicates, &unknown, validation)?;
    schema.prune(object);
    schema.default(object);
    Ok(warnings)
}

/// Fills in an absent kind and refuses a wrong one.
fn fit_kind(schemas: &Schemas, expected: Expected<'_>, object: &mut Value) -> Result<(), ApiError> {
    let text = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let api_version = expected.api_version();
    let or = |given: String, wanted: &str| {
        if given.is_empty() {
            wanted.to_owned()
        } else {
            given
        }
    };
    let (version, kind) = (
        or(text("apiVersion"), &api_version),
        or(text("kind"), expected.kind),
    );
    if kind != expected.kind || !expected.takes(&version) {
        return Err(expected.another(schemas, &version, &kind));
    }
    expected.name_in(object);
    Ok(())
}

/// What becomes of duplicate and unknown fields. A path that is unknown and there twice is told of as unknown only.
fn strictness(
    duplicates: &[Duplicate],
    unknown: &[String],
    validation: FieldValidation,
) -> Result<Vec<String>, String> {
    let told: Vec<Duplicate> = duplicates
        .iter()
        .filter(|duplicate| !unknown.iter().any(|path| duplicate.is_within(path)))
        .cloned()
        .collect();
    let unknown = unknown.iter().map(|path| format!("unknown field \"{path}\""));
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(told.iter().map(Duplicate::to_string).chain(unknown).collect()),
        FieldValidation::Strict => {
            let errors: Vec<String> = codec::strict_errors(&told).into_iter().chain(unknown).collect();
            match errors.is_empty() {
                true => Ok(errors),
                false => Err(format!("strict decoding error: {}", errors.join(", "))),
            }
        }
    }
}
