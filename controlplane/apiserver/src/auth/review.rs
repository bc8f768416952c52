//! Reviews: who somebody is and what they may do, answered and not stored.

use bytes::Bytes;
use controlplane_api::{ApiError, FieldError, Path, UserInfo, meta, time};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::auth::account_token::ISSUER;
use crate::auth::{authenticate, authorize};
use crate::call::Call;
use crate::reply::{self, Reply};
use crate::request::path::ResourcePath;
use crate::write::intake::{self, Expected, Intake};

/// Answers the review in `bytes`.
///
/// # Errors
///
/// 400 and 422 for what is no question.
pub(crate) async fn answer(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let Intake {
        mut object, warnings, ..
    } = intake::read(&call, Expected::of(&call.resource), &media_type, &bytes)?;
    if call.resource.is_namespaced() && meta::namespace(&object).is_empty() {
        meta::set(&mut object, "namespace", call.namespace());
    }
    let status = match &*call.resource.kind {
        "TokenReview" => token(&call, &object)?,
        "SelfSubjectReview" => {
            meta::set(
                &mut object,
                "creationTimestamp",
                time::format(call.server.clock.now()),
            );
            json!({"userInfo": user_info(&call.user)})
        }
        "SelfSubjectRulesReview" => rules(&call, &object)?,
        kind => access(&call, &object, kind)?,
    };
    let fields = meta::object_mut(&mut object);
    fields.entry("metadata").or_insert_with(|| json!({}));
    fields.insert("status".to_owned(), status);
    let mut response = reply::encoded(StatusCode::CREATED, &object, call.accepted.encoding)?;
    reply::add_warnings(&mut response, &warnings);
    Ok(response)
}

/// A user as the API shows one: what is not known is left out.
fn user_info(user: &UserInfo) -> Value {
    let mut shown = Map::new();
    let mut add = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    if !user.username.is_empty() {
        add("username", user.username.clone().into());
    }
    if !user.uid.is_empty() {
        add("uid", user.uid.clone().into());
    }
    if !user.groups.is_empty() {
        add("groups", json!(user.groups));
    }
    if !user.extra.is_empty() {
        add("extra", json!(user.extra));
    }
    Value::Object(shown)
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn token(call: &Call, object: &Value) -> Result<Value, ApiError> {
    let token = object
        .pointer("/spec/token")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if token.is_empty() {
        return Err(ApiError::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let asked = texts(object.pointer("/spec/audiences"));
    let wanted = if asked.is_empty() {
        vec![ISSUER.to_owned()]
    } else {
        asked
    };
    Ok(match authenticate::by_token(&call.server, token, &wanted) {
        Ok((user, audiences)) => {
            json!({"authenticated": true, "user": user_info(&user), "audiences": audiences})
        }
        Err(error) => json!({"user": {}, "error": error.to_string()}),
    })
}

/// Whether somebody may do something: the asker (`Self…`) or whom the spec names.
fn access(call: &Call, object: &Value, kind: &str) -> Result<Value, ApiError> {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let errors = mistakes(object, spec, kind);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&call.resource.group, kind, "", errors));
    }
    let user = if kind.starts_with("Self") {
        call.user.clone()
    } else {
        subject(spec)
    };
    let text = |attributes: &Value, name: &str| {
        let found = attributes.get(name).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let allowed = if let Some(found) = part(spec, "nonResourceAttributes") {
        authorize::url(&user, &text(found, "verb"), &text(found, "path"))
    } else {
        let found = part(spec, "resourceAttributes").unwrap_or(&Value::Null);
        let given = |name: &str| Some(text(found, name)).filter(|value| !value.is_empty());
        let path = ResourcePath {
            group: text(found, "group"),
            version: text(found, "version"),
            namespace: given("namespace"),
            plural: text(found, "resource"),
            name: given("name"),
            subresource: given("subresource"),
            watch: false,
            proxied: None,
        };
        let verb = text(found, "verb");
        let selector = part(found, "fieldSelector");
        let attributes = authorize::Attributes::asked(&user, &verb, &path, selector);
        authorize::resource(&call.server, &attributes).is_ok()
    };
    Ok(json!({"allowed": allowed}))
}

fn part<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|part| !part.is_null())
}

fn subject(spec: &Value) -> UserInfo {
    let text = |name: &str| {
        let found = spec.get(name).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let extra = spec.get("extra").and_then(Value::as_object).into_iter().flatten();
    UserInfo {
        username: text("user"),
        uid: text("uid"),
        groups: texts(spec.get("groups")),
        extra: extra
            .map(|(key, values)| (key.clone(), texts(Some(values))))
            .collect(),
    }
}

/// What is wrong with a question about access.
fn mistakes(object: &Value, spec: &Value, kind: &str) -> Vec<FieldError> {
    let path = Path::new("spec");
    let (resource, url) = (
        part(spec, "resourceAttributes"),
        part(spec, "nonResourceAttributes"),
    );
    let mut errors = Vec::new();
    match (resource, url) {
        (Some(_), Some(url)) => errors.push(path.child("nonResourceAttributes").invalid(
            url.clone(),
            "cannot be specified in combination with resourceAttributes",
        )),
        (None, None) => errors.push(path.child("resourceAttributes").invalid(
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    let given = subject(spec);
    if !kind.starts_with("Self") && given.username.is_empty() && given.groups.is_empty() {
        let detail = "at least one of user or group must be specified";
        errors.push(path.child("user").invalid("", detail));
    }
    errors.extend(metadata(object, kind));
    if kind == "LocalSubjectAccessReview" {
        let namespace = resource
            .and_then(|found| found.get("namespace"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        if resource.is_some() && namespace != meta::namespace(object) {
            let at = path.child("resourceAttributes.namespace");
            errors.push(at.invalid(namespace, "must match metadata.namespace"));
        }
        if let Some(url) = url {
            let at = path.child("nonResourceAttributes");
            errors.push(at.invalid(url.clone(), "disallowed on this kind of request"));
        }
    }
    errors
}

/// A question has no name, and only that about one namespace is in one.
fn metadata(object: &Value, kind: &str) -> Option<FieldError> {
    let found = object.get("metadata").and_then(Value::as_object)?;
    let local = kind == "LocalSubjectAccessReview";
    let mut given = found.iter().filter(|(key, value)| {
        let free = *key == "managedFields" || local && *key == "namespace";
        !free && !value.is_null()
    });
    given.next()?;
    let detail = if local {
        "must be empty except for namespace"
    } else {
        "must be empty"
    };
    Some(Path::new("metadata").invalid(Value::Object(found.clone()), detail))
}

/// What the asker may do in a namespace, as far as that can be listed.
fn rules(call: &Call, object: &Value) -> Result<Value, ApiError> {
    let namespace = object.pointer("/spec/namespace").and_then(Value::as_str);
    if namespace.is_none_or(str::is_empty) {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    if authorize::is_trusted(&call.user) {
        return Ok(json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        }));
    }
    let own = json!([
        {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
        {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]},
    ]);
    let urls: Vec<&str> = authorize::URLS.to_vec();
    let mut status = json!({
        "resourceRules": own,
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": urls}],
        "incomplete": false,
    });
    if !authorize::is_listable(&call.user) {
        let fields = meta::object_mut(&mut status);
        fields.insert("incomplete".to_owned(), true.into());
        let why = "node authorizer does not support user rule resolution";
        fields.insert("evaluationError".to_owned(), why.into());
    }
    Ok(status)
}
