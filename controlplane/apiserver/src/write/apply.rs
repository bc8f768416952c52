//! Server-side apply: PATCH with what a manager wants of an object, which need not be there yet.

use controlplane_api::rest::{self, Part};
use controlplane_api::{ApiError, Reason, meta};
use controlplane_apimachinery::codec::{self, Document, Duplicate};
use controlplane_apimachinery::managed::{NO_FIELDS, OneVersion, Writer};
use http::StatusCode;
use serde_json::Value;

use crate::call::Call;
use crate::reply::Reply;
use crate::request::body;
use crate::request::query::{FieldValidation, WriteOptions};
use crate::write::change::change;
use crate::write::commit::ATTEMPTS;
use crate::write::create;
use crate::write::intake::{self, Expected};
use crate::write::owners;
use crate::write::update::answer;

/// What is to be applied, and how.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The configuration, in the request's version.
    pub(crate) config: Value,
    pub(crate) force: bool,
    pub(crate) options: WriteOptions,
    /// Members that it has twice.
    pub(crate) duplicates: Vec<Duplicate>,
}

impl Wish {
    /// Reads a configuration, which is YAML or JSON.
    ///
    /// # Errors
    ///
    /// 400 for what is neither, and for what is no object.
    pub(crate) fn parse(bytes: &[u8], force: bool, options: WriteOptions) -> Result<Self, ApiError> {
        let Document { value, duplicates } = codec::from_yaml_or_json(bytes)
            .map_err(|error| body::refusal(&error, "error decoding YAML: "))?;
        if !value.is_object() {
            let why = "error decoding YAML: a configuration to apply must be an object";
            return Err(ApiError::bad_request(why));
        }
        Ok(Self {
            config: value,
            force,
            options,
            duplicates,
        })
    }

    /// What the client should be told of members that come twice.
    ///
    /// # Errors
    ///
    /// 400 under strict validation.
    pub(crate) fn warnings(&self) -> Result<Vec<String>, ApiError> {
        match self.options.field_validation {
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Strict if !self.duplicates.is_empty() => {
                let errors = codec::strict_errors(&self.duplicates).join(", ");
                Err(ApiError::bad_request(format!(
                    "error strict decoding YAML: error converting YAML to JSON: {errors}"
                )))
            }
            FieldValidation::Warn | FieldValidation::Strict => {
                Ok(self.duplicates.iter().map(Duplicate::to_string).collect())
            }
        }
    }

    /// Checks the configuration of a subresource that is a kind of its own.
    ///
    /// # Errors
    ///
    /// As an apply of that kind.
    pub(crate) fn fits(&self, call: &Call, expected: Expected<'_>) -> Result<(), ApiError> {
        let Expected {
            group, version, kind, ..
        } = expected;
        let schema = call
            .server
            .schemas
            .kind(group, version, kind)
            .ok_or_else(ApiError::no_such_path)?;
        let writer = Writer {
            schema,
            versions: &OneVersion,
            api_version: &expected.api_version(),
            manager: &call.manager,
            subresource: "",
            reset: &NO_FIELDS,
            now: call.server.clock.now(),
        };
        writer.apply(None, &self.config, true)?;
        Ok(())
    }
}

/// Applies a configuration to the object, or to the part of it that `part` names. The object itself is created where it
/// is not there.
///
/// # Errors
///
/// 409 for conflicts, 400 and 422 for a bad configuration, 404 for a part of what is not there.
pub(crate) async fn apply(call: Call, part: Part<'static>, wish: &Wish) -> Reply {
    let warnings = wish.warnings()?;
    for _ in 0..ATTEMPTS {
        let mut warnings = warnings.clone();
        if part == Part::Main && call.entry().is_err() {
            let object = created(&call, wish)?;
            match create::store_new(&call, &object, wish.options, &mut warnings).await {
                // Somebody else was faster: then it is to be changed.
                Err(error) if error.reason() == Reason::AlreadyExists => continue,
                written => return answer(&call, written?, StatusCode::CREATED, &warnings),
            }
        }
        let subresource = owners::subresource(part);
        let changed = change(&call, part, wish.options.dry_run, &mut warnings, |old| {
            applied(&call, subresource, Some(old), wish)
        })
        .await;
        match changed {
            // Somebody has deleted it meanwhile: then it is to be created.
            Err(error)
                if part == Part::Main && error.reason() == Reason::NotFound && call.entry().is_err() => {}
            written => return answer(&call, written?, StatusCode::OK, &warnings),
        }
    }
    Err(call.conflict("others created and deleted the object all the time; please try again"))
}

fn created(call: &Call, wish: &Wish) -> Result<Value, ApiError> {
    let uid = meta::uid(&wish.config);
    if !uid.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(call.conflict(&why));
    }
    applied(call, "", None, wish)
}

/// The object with the configuration applied, in its stored form; `live` is in it, too.
///
/// # Errors
///
/// As [`apply`].
pub(crate) fn applied(
    call: &Call,
    subresource: &str,
    live: Option<&Value>,
    wish: &Wish,
) -> Result<Value, ApiError> {
    let value = owners::apply(call, subresource, live, (&wish.config, wish.force))?;
    let mut document = Document::from(value);
    let expected = Expected::of(&call.resource);
    // What the type does not know was refused already.
    intake::admit(
        call.server.schemas,
        expected,
        &mut document,
        FieldValidation::Ignore,
    )?;
    let mut object = document.value;
    rest::fit_url(&call.resource, &mut object, call.namespace(), call.name())?;
    call.resource.to_storage(&mut object);
    Ok(object)
}
