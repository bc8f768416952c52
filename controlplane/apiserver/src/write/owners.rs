//! Who owns which fields: `managedFields` of all that is written, and server-side apply.

use std::borrow::Cow;

use controlplane_api::field::Path;
use controlplane_api::rest::Part;
use controlplane_api::{ApiError, FieldError, Registry, Resource, meta};
use controlplane_apimachinery::managed::{self, FieldSet, MANAGER_MAX, Versions, Writer};
use controlplane_apimachinery::patch::MEDIA_TYPES;
use controlplane_schema::{Schemas, TypeRef};
use serde_json::Value;

use crate::call::Call;
use crate::request::query::Query;

/// The subresource that a part is, as owners' entries name it.
pub(crate) fn subresource<'p>(part: Part<'p>) -> &'p str {
    match part {
        Part::Main => "",
        Part::Status => "status",
        Part::Sub(name) => name,
    }
}

/// Refuses names of managers that Kubernetes would.
///
/// # Errors
///
/// 422.
pub(crate) fn check_manager(call: &Call) -> Result<(), ApiError> {
    refuse(call.options_kind(), manager_mistakes(&call.query))
}

/// As [`check_manager`], for a patch: one that applies needs a manager, any other has nothing to force.
///
/// # Errors
///
/// 422, or 400 for a `force` that is neither true nor false.
pub(crate) fn check_patch(query: &Query, applies: bool) -> Result<bool, ApiError> {
    let force = query.flag("force");
    let mut mistakes = Vec::new();
    if applies && query.get("fieldManager").is_none() {
        mistakes.push(Path::new("fieldManager").required("is required for apply patch"));
    }
    if !applies && force.is_some() {
        mistakes.push(Path::new("force").forbidden("may not be specified for non-apply patch"));
    }
    mistakes.extend(manager_mistakes(query));
    refuse("PatchOptions", mistakes)?;
    Ok(force.unwrap_or(false))
}

fn refuse(options: &str, mistakes: Vec<FieldError>) -> Result<(), ApiError> {
    if mistakes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid("meta.k8s.io", options, "", mistakes))
}

fn manager_mistakes(query: &Query) -> Vec<FieldError> {
    let name = query.get("fieldManager").unwrap_or_default();
    let path = Path::new("fieldManager");
    let mut mistakes = Vec::new();
    if name.len() > MANAGER_MAX {
        mistakes.push(path.too_long(MANAGER_MAX));
    }
    // The first is enough to say: a name has few of them by mistake and thousands by malice.
    if let Some((place, c)) = name.char_indices().find(|(_, c)| !managed::is_printable(*c)) {
        let detail = format!("invalid character U+{:04X} (at position {place})", u32::from(c));
        mistakes.push(path.invalid(name, detail));
    }
    mistakes
}

/// The name under which a request writes: the one that it gives, or what its user agent begins with.
pub(crate) fn manager<'q>(query: &'q Query, user_agent: &str) -> Cow<'q, str> {
    match query.get("fieldManager") {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(managed::manager_of_agent(user_agent)),
    }
}

/// Says in `new` who owns its fields after it replaces `live`; both are in their stored form.
///
/// A kind without a schema has no owners.
pub(crate) fn track(call: &Call, subresource: &str, live: Option<&Value>, new: &mut Value) {
    let api_version = call.resource.api_version();
    let served = Served::of(call);
    let Some(writer) = served.writer(call, subresource, &api_version) else {
        meta::remove(new, "managedFields");
        return;
    };
    if call.resource.storage.is_none() {
        return writer.update(live, new);
    }
    let shown = |object: &Value| {
        let mut object = object.clone();
        call.resource.from_storage(&mut object);
        object
    };
    let mut written = shown(new);
    writer.update(live.map(shown).as_ref(), &mut written);
    take_owners(&written, new);
}

/// The object with `config` applied, in the request's version, not yet defaulted; `live` is in its stored form.
///
/// # Errors
///
/// 409 for conflicts, 400 and 500 (as upstream) for a configuration that does not fit, 415 for a kind without a schema.
pub(crate) fn apply(
    call: &Call,
    subresource: &str,
    live: Option<&Value>,
    (config, force): (&Value, bool),
) -> Result<Value, ApiError> {
    let api_version = call.resource.api_version();
    let served = Served::of(call);
    let writer = served
        .writer(call, subresource, &api_version)
        .ok_or_else(|| ApiError::unsupported_media_type(MEDIA_TYPES.get(..2).unwrap_or_default()))?;
    let shown = live.map(|live| {
        let mut live = live.clone();
        call.resource.from_storage(&mut live);
        live
    });
    Ok(writer.apply(shown.as_ref(), config, force)?)
}

/// Where nothing has changed but the times in `managedFields`, these do not change either.
pub(crate) fn keep_times(new: &mut Value, old: &Value) {
    if new != old && managed::same_but_for_times(new, old) {
        take_owners(old, new);
    }
}

fn take_owners(from: &Value, to: &mut Value) {
    let owners = from
        .get("metadata")
        .and_then(|metadata| metadata.get("managedFields"));
    match owners {
        Some(owners) => meta::set(to, "managedFields", owners.clone()),
        None => drop(meta::remove(to, "managedFields")),
    }
}

/// The versions in which the server shows a kind.
#[derive(Debug)]
struct Served<'a> {
    registry: &'a Registry,
    schemas: &'static Schemas,
    resource: &'a Resource,
}

impl<'a> Served<'a> {
    fn of(call: &'a Call) -> Self {
        Self {
            registry: &call.server.registry,
            schemas: call.server.schemas,
            resource: &call.resource,
        }
    }

    fn writer<'w>(
        &'w self,
        call: &'w Call,
        subresource: &'w str,
        api_version: &'w str,
    ) -> Option<Writer<'w>> {
        let Resource {
            group, version, kind, ..
        } = self.resource;
        let reset: &'static FieldSet = self.resource.strategy.reset_fields(subresource);
        Some(Writer {
            schema: self.schemas.kind(group, version, kind)?,
            versions: self,
            api_version,
            manager: &call.manager,
            subresource,
            reset,
            now: call.server.clock.now(),
        })
    }

    /// The same kind as it is served in another version.
    fn other(&self, api_version: &str) -> Option<&Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = self.registry.find_kind(group, version, &self.resource.kind)?;
        let same = found.storage_group() == self.resource.storage_group()
            && found.storage_resource() == self.resource.storage_resource();
        same.then_some(&**found)
    }
}

impl Versions for Served<'_> {
    fn view(&self, object: &Value, api_version: &str) -> Option<(Value, TypeRef<'_>)> {
        let other = self.other(api_version)?;
        let schema = self.schemas.kind(&other.group, &other.version, &other.kind)?;
        let mut object = object.clone();
        self.resource.to_storage(&mut object);
        other.from_storage(&mut object);
        Some((object, schema))
    }

    fn restore(&self, mut object: Value, api_version: &str) -> Option<Value> {
        self.other(api_version)?.to_storage(&mut object);
        self.resource.from_storage(&mut object);
        Some(object)
    }
}
