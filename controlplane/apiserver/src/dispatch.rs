//! From a request about a resource to what handles it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use controlplane_api::rest::Part;
use controlplane_api::table::Include;
use controlplane_api::{ApiError, Resource, Role, UserInfo, Verb};
use controlplane_protobuf::Kind;
use controlplane_store::Key;

use crate::archive::{past, query};
use crate::auth::authorize::{self, Attributes};
use crate::auth::review;
use crate::call::Call;
use crate::front::info::{Info, Target};
use crate::node;
use crate::proxy;
use crate::read::select::Selection;
use crate::read::{list, watch, websocket};
use crate::reply::{self, Reply};
use crate::request::accept::{Binary, Shape};
use crate::request::path::ResourcePath;
use crate::request::query::{ListOptions, Query};
use crate::request::{accept, body};
use crate::server::{Inner, Request};
use crate::write::{
    binding, create, delete, delete_collection, eviction, owners, patch, scale, token, update,
};

/// Answers any request that is not about the server itself.
pub(crate) async fn resource(
    State(server): State<Arc<Inner>>,
    Extension(user): Extension<UserInfo>,
    request: Request,
) -> Response {
    Box::pin(answer(server, user, request))
        .await
        .unwrap_or_else(reply::failure)
}

/// Answers a method that a path about the server itself does not have.
pub(crate) async fn wrong_method() -> Response {
    reply::failure(ApiError::method_not_allowed())
}

async fn answer(server: Arc<Inner>, user: UserInfo, mut request: Request) -> Reply {
    let Some(Info { query, target, .. }) = request.extensions_mut().remove::<Info>() else {
        return Err(ApiError::internal("a request came in by no known way"));
    };
    let Some(Target { path, verb, resource }) = target else {
        authorize::other_path(&user, request.uri().path())?;
        return Err(ApiError::no_such_path());
    };
    let verb = verb.ok_or_else(ApiError::method_not_allowed)?;
    let attributes = Attributes::new(&user, authorization_verb(&path, verb), &path, &query);
    authorize::resource(&server, &attributes)?;
    let resource = resource
        .filter(|resource| fits_scope(resource, &path))
        .ok_or_else(ApiError::no_such_path)?;
    let warning = resource.warning.clone();
    let call = call(server, user, resource, (&path, verb), query, &request)?;
    let mut response = handle(call, &path, verb, request).await?;
    reply::add_warnings(&mut response, warning.as_deref().map(str::to_owned).as_slice());
    Ok(response)
}

async fn handle(call: Call, path: &ResourcePath, verb: Verb, request: Request) -> Reply {
    match &path.subresource {
        None => main(call, verb, request).await,
        Some(name) => {
            let subresource = call
                .resource
                .subresource(name)
                .cloned()
                .ok_or_else(ApiError::no_such_path)?;
            if subresource.role != Role::Connect && !subresource.verbs.contains(&verb) {
                return Err(ApiError::method_not_supported(
                    &path.group,
                    &format!("{}/{name}", path.plural),
                    verb.as_str(),
                ));
            }
            match &path.proxied {
                Some(rest) => proxy::connect(call, rest, request).await,
                None => part(call, subresource.role, name, verb, request).await,
            }
        }
    }
}

fn call(
    server: Arc<Inner>,
    user: UserInfo,
    resource: Arc<Resource>,
    (path, verb): (&ResourcePath, Verb),
    query: Query,
    request: &Request,
) -> Result<Call, ApiError> {
    let include = Include::parse(query.get("includeObject").unwrap_or_default())
        .map_err(|given| ApiError::bad_request(format!("unrecognized includeObject value: {given:?}")))?;
    Ok(Call {
        server,
        user,
        accepted: accept::objects(request.headers(), binary(&resource))
            .or_else(|error| connect_takes_anything(path, error))?,
        resource,
        namespace: path.namespace.clone(),
        name: path.name.clone(),
        verb,
        manager: manager(&query, request),
        query,
        gzip: accept::gzip(request.headers()),
        include,
    })
}

fn binary(resource: &Resource) -> Binary {
    match Kind::find(&resource.api_version(), &resource.kind) {
        Some(_) => Binary::Served,
        None => Binary::Absent,
    }
}

fn manager(query: &Query, request: &Request) -> String {
    let agent = request.headers().get(http::header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    owners::manager(query, agent).into_owned()
}

/// Logs and streams are no objects; whatever their clients accept is fine.
fn connect_takes_anything(path: &ResourcePath, error: ApiError) -> Result<accept::Accepted, ApiError> {
    match path.subresource.as_deref() {
        Some("log" | "exec" | "attach" | "portforward" | "proxy") => Ok(accept::Accepted::default()),
        _ => Err(error),
    }
}

/// Running something in a pod needs `create`, whatever the HTTP method, also by way of its node's agent.
fn authorization_verb(path: &ResourcePath, verb: Verb) -> &'static str {
    let runs = match (path.subresource.as_deref(), &path.proxied) {
        (Some("exec" | "attach" | "portforward"), _) => true,
        (_, Some(proxied)) => path.plural == "nodes" && runs_something(proxied),
        _ => false,
    };
    if runs {
        Verb::Create.as_str()
    } else {
        verb.as_str()
    }
}

/// Whether an agent may take a path for one that runs something; what hides behind percent signs is taken for that.
fn runs_something(path: &str) -> bool {
    let running = ["exec", "attach", "portforward", "run", "cri"];
    path.contains('%')
        || path
            .split('/')
            .any(|segment| running.iter().any(|word| segment.eq_ignore_ascii_case(word)))
}

/// Whether the path names a namespace exactly where the resource wants one; reads of collections may
/// span all namespaces.
fn fits_scope(resource: &Resource, path: &ResourcePath) -> bool {
    match (resource.is_namespaced(), &path.namespace) {
        (true, Some(_)) | (false, None) => true,
        (true, None) => path.name.is_none(),
        (false, Some(_)) => false,
    }
}

async fn main(call: Call, verb: Verb, request: Request) -> Reply {
    if !call.resource.allows(verb) {
        let Resource { group, plural, .. } = &*call.resource;
        return Err(ApiError::method_not_supported(group, plural, verb.as_str()));
    }
    up_to_date(&call, verb).await?;
    match verb {
        Verb::Get => call.form().reply(http::StatusCode::OK, &*call.entry()?),
        Verb::List => read_list(&call).await,
        Verb::Watch => begin_watch(&call, request).await,
        Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => {
            write(call, verb, request).await
        }
    }
}

/// Reads without a resource version show everything that any server has acknowledged (Kubernetes API Concepts, "Resource
/// versions"); "0" and others are content with what this server knows, and one that it has not reached yet, because another
/// server was asked before, is waited for.
async fn up_to_date(call: &Call, verb: Verb) -> Result<(), ApiError> {
    if !matches!(verb, Verb::Get | Verb::List | Verb::Watch) {
        return Ok(());
    }
    let (store, asked) = (call.store(), call.query.get("resourceVersion"));
    let version = asked.and_then(|version| version.parse::<u64>().ok());
    let is_ahead = || version.filter(|version| *version > store.revision().get());
    let is_newest = asked.is_none() && call.query.get("continue").is_none();
    if is_newest || is_ahead().is_some() {
        let barrier = store.read_barrier().await;
        barrier.map_err(|error| ApiError::service_unavailable(error.to_string()))?;
    }
    match is_ahead() {
        // Lists say so themselves, and a watch by an event.
        Some(version) if verb == Verb::Get => Err(list::from_the_future(version, store.revision())),
        _ => Ok(()),
    }
}

async fn read_list(call: &Call) -> Reply {
    let options = ListOptions::parse(&call.query)?;
    let selection = Selection::new(&call.resource, call.namespace.as_deref(), &options)?;
    if let Some((archive, revision)) = past::is_needed(call, &options) {
        return past::list(archive, call, &selection, revision).await;
    }
    let page = list::page(call.store(), &selection, &options)?;
    if selection.is_everything() && call.namespace.is_none() {
        let shown = u64::try_from(page.entries.len()).unwrap_or(u64::MAX);
        let objects = shown.saturating_add(page.remaining.unwrap_or_default());
        let flow = &call.server.flow;
        flow.note_size(
            &call.resource.qualified_name(),
            usize::try_from(objects).unwrap_or(usize::MAX),
        );
    }
    list::shown(page, &call.form(), call.gzip).await
}

async fn begin_watch(call: &Call, request: Request) -> Reply {
    let options = ListOptions::parse(&call.query)?;
    let selection = Selection::new(&call.resource, call.namespace.as_deref(), &options)?;
    let wish = watch::Wish {
        resource: Arc::clone(&call.resource),
        selection,
        accepted: accept::events(call.accepted, binary(&call.resource))?,
        include: call.include,
        clock: Arc::clone(&call.server.clock),
        stop: call.server.stop.clone(),
        frames: Arc::clone(&call.server.frames),
        sent: call.server.measure.events(&call.resource),
    };
    if websocket::is_asked_for(request.headers()) {
        return websocket::reply(call.store(), wish, &options, request).await;
    }
    watch::reply(call.store(), wish, &options)
}

/// Reads the body and carries the write out on the server's own task set.
async fn write(call: Call, verb: Verb, request: Request) -> Reply {
    if verb == Verb::Create && call.resource.is_namespaced() && call.namespace.is_none() {
        return Err(ApiError::method_not_allowed());
    }
    let (media_type, bytes) = content(request).await?;
    let server = Arc::clone(&call.server);
    server
        .to_its_end(async move {
            match verb {
                Verb::Create if call.resource.transient => transient(call, media_type, bytes).await,
                Verb::Create => create::create(call, media_type, bytes).await,
                Verb::Update => update::update(call, Part::Main, media_type, bytes).await,
                Verb::Patch => patch::patch(call, Part::Main, media_type, bytes).await,
                Verb::Delete => delete::delete(call, media_type, bytes).await,
                Verb::DeleteCollection => delete_collection::delete_collection(call, media_type, bytes).await,
                Verb::Get | Verb::List | Verb::Watch => Err(ApiError::method_not_allowed()),
            }
        })
        .await
}

/// Answers what is never stored: bindings, queries and reviews.
async fn transient(call: Call, media_type: String, bytes: Bytes) -> Reply {
    match &*call.resource.group {
        "" => binding::bind_named(call, media_type, bytes).await,
        // An answer without metadata has nothing to fill a table's rows with.
        "authentication.k8s.io" | "authorization.k8s.io" if call.accepted.shape == Shape::Table => {
            Err(ApiError::no_table(&call.resource.qualified_name()))
        }
        "authentication.k8s.io" | "authorization.k8s.io" => review::answer(call, media_type, bytes).await,
        _ => query::answer(call, media_type, bytes).await,
    }
}

async fn content(request: Request) -> Result<(String, Bytes), ApiError> {
    body::refuse_compressed(request.headers())?;
    let media_type = body::media_type(request.headers());
    Ok((media_type, body::read(request.into_body()).await?))
}

async fn part(call: Call, role: Role, name: &str, verb: Verb, request: Request) -> Reply {
    if role == Role::Connect {
        return node::connect(call, name, request).await;
    }
    if verb == Verb::Get {
        return match role {
            Role::Scale => scale::get(&call),
            Role::Status | Role::Update => call.form().reply(http::StatusCode::OK, &*call.entry()?),
            Role::Binding | Role::Eviction | Role::Token | Role::Connect => {
                Err(ApiError::method_not_allowed())
            }
        };
    }
    let (media_type, bytes) = content(request).await?;
    let server = Arc::clone(&call.server);
    let name = name.to_owned();
    server
        .to_its_end(async move { write_part(call, role, &name, verb, (media_type, bytes)).await })
        .await
}

async fn write_part(
    call: Call,
    role: Role,
    name: &str,
    verb: Verb,
    (media_type, bytes): (String, Bytes),
) -> Reply {
    match (role, verb) {
        (Role::Status, Verb::Update) => update::update(call, Part::Status, media_type, bytes).await,
        (Role::Status, Verb::Patch) => patch::patch(call, Part::Status, media_type, bytes).await,
        (Role::Update, Verb::Update) => update::update(call, sub(name)?, media_type, bytes).await,
        (Role::Update, Verb::Patch) => patch::patch(call, sub(name)?, media_type, bytes).await,
        (Role::Scale, Verb::Update) => scale::update(call, media_type, bytes).await,
        (Role::Scale, Verb::Patch) => scale::patch(call, media_type, bytes).await,
        (Role::Binding, Verb::Create) => binding::bind(call, media_type, bytes).await,
        (Role::Token, Verb::Create) => token::issue(call, media_type, bytes).await,
        (Role::Eviction, Verb::Create) => eviction::evict(call, media_type, bytes).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The subresources that update their object, by name.
fn sub(name: &str) -> Result<Part<'static>, ApiError> {
    match name {
        "approval" => Ok(Part::Sub("approval")),
        "finalize" => Ok(Part::Sub("finalize")),
        "ephemeralcontainers" => Ok(Part::Sub("ephemeralcontainers")),
        "resize" => Ok(Part::Sub("resize")),
        _ => Err(ApiError::no_such_path()),
    }
}

/// The key of a cluster-scoped core object.
pub(crate) fn core_key(plural: &str, name: &str) -> Option<Key> {
    Key::parse(&format!("{}{plural}/{name}", Key::ROOT)).ok()
}
