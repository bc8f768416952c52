//! `serviceaccounts/token`: a token for a service account, bound to what asks for it.

use bytes::Bytes;
use controlplane_api::admit::service_account::TOKEN_SECONDS;
use controlplane_api::{ApiError, FieldError, Path, meta, time};
use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::auth::account_token::{self, Claims, ISSUER, Private, Reference};
use crate::auth::node;
use crate::call::Call;
use crate::reply::{self, Reply};
use crate::write::intake::{self, Expected, Intake};

const TOKEN_REQUEST: Expected<'static> = Expected {
    group: "authentication.k8s.io",
    version: "v1",
    kind: "TokenRequest",
    earlier: None,
};

/// How long a token of a pod's own volume is good for clients that read it once and never again, in seconds. It is
/// renewed as if it were not, and ends with its pod.
const A_YEAR: i64 = 365 * 24 * 60 * 60;
const SECONDS: std::ops::RangeInclusive<i64> = 600..=1 << 32;

/// Issues the token that the `TokenRequest` in `bytes` asks for.
///
/// # Errors
///
/// 404 where the account or the object it is to be bound to is not there, 409 where that is another by now, 422 for bad
/// wishes.
pub(crate) async fn issue(call: Call, media_type: String, bytes: Bytes) -> Reply {
    let Intake {
        mut object, warnings, ..
    } = intake::read(&call, TOKEN_REQUEST, &media_type, &bytes)?;
    let Some(keys) = &call.server.accounts else {
        return Err(ApiError::no_such_path());
    };
    check_names(&call, &object)?;
    let entry = call.entry()?;
    let account = entry
        .value
        .to_json(entry.mod_revision)
        .map_err(|error| reply::bug("read a service account", &error))?;
    complete(&call, &mut object);
    let errors = mistakes(&object);
    if !errors.is_empty() {
        return Err(invalid("", errors));
    }
    let now = call.server.clock.now();
    let seconds = field(&object, "expirationSeconds").as_i64().unwrap_or_default();
    restrict(&call, &object)?;
    let asked = now.as_second().saturating_add(seconds);
    let mut private = bind(&call, &object, Reference::of(&account))?;
    let audiences = texts(field(&object, "audiences"));
    let lives_on = private.pod.is_some() && seconds == TOKEN_SECONDS && audiences == [ISSUER];
    private.warnafter = lives_on.then_some(asked);
    let claims = Claims {
        aud: audiences,
        exp: if lives_on {
            now.as_second().saturating_add(A_YEAR)
        } else {
            asked
        },
        iat: now.as_second(),
        iss: ISSUER.to_owned(),
        jti: meta::new_uid(),
        private,
        nbf: now.as_second(),
        sub: account_token::user_name(call.namespace(), call.name()),
    };
    let token = account_token::sign(keys, &claims)
        .ok_or_else(|| ApiError::internal("failed to generate token: the key cannot sign"))?;
    let end = now
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(jiff::Timestamp::MAX);
    let status = json!({"expirationTimestamp": time::format(end), "token": token});
    meta::object_mut(&mut object).insert("status".to_owned(), status);
    let mut response = reply::encoded(StatusCode::CREATED, &object, call.accepted.encoding)?;
    reply::add_warnings(&mut response, &warnings);
    Ok(response)
}

fn invalid(name: &str, errors: Vec<FieldError>) -> ApiError {
    ApiError::invalid(TOKEN_REQUEST.group, TOKEN_REQUEST.kind, name, errors)
}

/// Name and namespace of the body, where they are given, are the URL's.
fn check_names(call: &Call, object: &Value) -> Result<(), ApiError> {
    for (field, given, wanted) in [
        ("name", meta::name(object), call.name()),
        ("namespace", meta::namespace(object), call.namespace()),
    ] {
        if !given.is_empty() && given != wanted {
            let detail = format!("must match the service account {field} if specified");
            let path = Path::new("metadata").child(field);
            return Err(invalid(call.name(), vec![path.invalid(given, detail)]));
        }
    }
    Ok(())
}

/// Fills in what the request leaves open: whose the token is, and that it is for this API.
fn complete(call: &Call, object: &mut Value) {
    meta::set(object, "name", call.name());
    meta::set(object, "namespace", call.namespace());
    meta::set(object, "creationTimestamp", time::format(call.server.clock.now()));
    let spec = meta::object_mut(meta::member_mut(object, "spec"));
    let audiences = spec.entry("audiences").or_insert(Value::Null);
    if audiences.as_array().is_none_or(Vec::is_empty) {
        *audiences = json!([ISSUER]);
    }
    spec.entry("expirationSeconds").or_insert(3600.into());
}

fn mistakes(object: &Value) -> Vec<FieldError> {
    let seconds = field(object, "expirationSeconds").as_i64().unwrap_or_default();
    let rule = match seconds {
        seconds if SECONDS.contains(&seconds) => return Vec::new(),
        seconds if seconds < *SECONDS.start() => "may not specify a duration less than 10 minutes",
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    vec![Path::new("spec.expirationSeconds").invalid(seconds, rule)]
}

static NOTHING: Value = Value::Null;

fn field<'a>(object: &'a Value, name: &str) -> &'a Value {
    object
        .get("spec")
        .and_then(|spec| spec.get(name))
        .unwrap_or(&NOTHING)
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the token is bound to: with that, it ends.
fn bind(call: &Call, object: &Value, account: Reference) -> Result<Private, ApiError> {
    let mut private = Private {
        namespace: call.namespace().to_owned(),
        serviceaccount: account,
        ..Private::default()
    };
    let wish = field(object, "boundObjectRef");
    if wish.is_null() {
        return Ok(private);
    }
    let text = |name: &str| wish.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let found = |plural: &str, namespace: Option<&str>| {
        account_token::core_object(call.store(), plural, namespace, name)
            .ok_or_else(|| ApiError::not_found("", plural, name))
    };
    let namespace = Some(call.namespace());
    let bound = match (version, kind) {
        ("" | "v1", "Pod") => {
            let pod = found("pods", namespace)?;
            (private.pod, private.node) = of_pod(call, &pod)?;
            pod
        }
        ("" | "v1", "Secret") => {
            let secret = found("secrets", namespace)?;
            private.secret = Some(Reference::of(&secret));
            secret
        }
        ("" | "v1", "Node") => {
            let node = found("nodes", None)?;
            private.node = Some(Reference::of(&node));
            node
        }
        _ => {
            let why = format!(
                "cannot bind token to object of type {}, Kind={kind}",
                slashed(version)
            );
            return Err(ApiError::bad_request(why));
        }
    };
    let uid = text("uid");
    if !uid.is_empty() && uid != meta::uid(&bound) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        );
        return Err(ApiError::conflict("", kind, name, &why));
    }
    Ok(private)
}

/// A node gets tokens for the pods that run on it, and no others.
fn restrict(call: &Call, object: &Value) -> Result<(), ApiError> {
    let Some(node) = node::name(&call.user) else {
        return Ok(());
    };
    let wish = field(object, "boundObjectRef");
    let text = |name: &str| wish.get(name).and_then(Value::as_str).unwrap_or_default();
    let forbidden = |why: &str| Err(ApiError::forbidden("", "serviceaccounts", call.name(), why));
    if (text("apiVersion"), text("kind")) != ("v1", "Pod") || text("name").is_empty() {
        return forbidden("node requested token not bound to a pod");
    }
    if text("uid").is_empty() {
        return forbidden("node requested token with a pod binding without a uid");
    }
    let pod = account_token::core_object(call.store(), "pods", Some(call.namespace()), text("name"))
        .ok_or_else(|| ApiError::not_found("", "pods", text("name")))?;
    let on = pod.pointer("/spec/nodeName").and_then(Value::as_str);
    if on != Some(node) {
        return forbidden("node requested token bound to a pod scheduled on a different node");
    }
    Ok(())
}

/// A version as Go prints one: the core group's has a slash before it.
fn slashed(version: &str) -> String {
    if version.contains('/') {
        version.to_owned()
    } else {
        format!("/{version}")
    }
}

/// A pod, which must run as the account, and its node.
fn of_pod(call: &Call, pod: &Value) -> Result<(Option<Reference>, Option<Reference>), ApiError> {
    let spec = |name: &str| {
        pod.get("spec")
            .and_then(|spec| spec.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if spec("serviceAccountName") != call.name() {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            call.name()
        )));
    }
    let node = Some(spec("nodeName"))
        .filter(|node| !node.is_empty())
        .map(|node| {
            account_token::core_object(call.store(), "nodes", None, node).map_or_else(
                || Reference {
                    name: node.to_owned(),
                    uid: String::new(),
                },
                |node| Reference::of(&node),
            )
        });
    Ok((Some(Reference::of(pod)), node))
}
