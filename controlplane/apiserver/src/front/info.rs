//! What a request is about, found out once for all who look at it; upstream's `RequestInfo`.

use std::sync::Arc;

use controlplane_api::{ApiError, Resource, Verb};
use http::Method;
use http::header::CONTENT_TYPE;

use crate::flow::{Flow, What};
use crate::request::path::ResourcePath;
use crate::request::query::Query;
use crate::server::{Inner, Request};

/// How long a request lasts by its nature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// It is answered at once.
    Short,
    /// It begins soon and then goes on for as long as the client likes.
    Watch,
    /// As a watch, and costs the server little to begin: streams to nodes.
    Long,
}

/// A request about a resource, or about another path.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    pub(crate) query: Query,
    pub(crate) length: Length,
    /// Whether a PATCH is an apply.
    pub(crate) applies: bool,
    /// The method in small letters, for paths that are no resources.
    method: &'static str,
    pub(crate) target: Option<Target>,
}

/// What a request about a resource names.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) path: ResourcePath,
    /// None for a method that no resource has.
    pub(crate) verb: Option<Verb>,
    /// None where no such resource is served.
    pub(crate) resource: Option<Arc<Resource>>,
}

impl Info {
    /// Reads the head of a request.
    ///
    /// # Errors
    ///
    /// 400 for a query that cannot be read.
    pub(crate) fn of(server: &Inner, request: &Request) -> Result<Self, ApiError> {
        let (method, uri) = (request.method(), request.uri());
        let mut query = Query::parse(uri)?;
        let target = ResourcePath::parse(uri.path()).map(|mut path| {
            if path.watch && method == Method::GET {
                query.ask_for_watch(path.name.take().as_deref());
            }
            Target {
                verb: verb(method, &path, &query).filter(|verb| !path.watch || *verb == Verb::Watch),
                resource: server
                    .registry
                    .find(&path.group, &path.version, &path.plural)
                    .cloned(),
                path,
            }
        });
        Ok(Self {
            length: length(target.as_ref(), uri.path()),
            query,
            applies: is_apply(request),
            method: small(method),
            target,
        })
    }

    /// The verb as upstream's request info has it.
    pub(crate) fn verb_name(&self) -> &'static str {
        let verb = self.target.as_ref().and_then(|target| target.verb);
        verb.map_or(self.method, Verb::as_str)
    }

    /// Whether the request may change something.
    pub(crate) fn changes_something(&self) -> bool {
        !matches!(self.method, "get" | "head" | "options")
    }

    pub(super) fn what<'a>(&'a self, path: &'a str) -> What<'a> {
        match &self.target {
            Some(target) => What::Resource(&target.path),
            None => What::Path(path),
        }
    }

    /// Seats that the request takes: a list takes more, the more it shows.
    pub(super) fn seats(&self, flow: &Flow) -> u32 {
        match &self.target {
            Some(Target {
                verb: Some(Verb::List),
                resource: Some(resource),
                ..
            }) => {
                let limit = self.query.get("limit").and_then(|limit| limit.parse().ok());
                let limit = limit.filter(|limit| *limit > 0);
                flow.seats_of_list(&resource.qualified_name(), limit)
            }
            _ => 1,
        }
    }
}

fn is_apply(request: &Request) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    request.method() == Method::PATCH
        && content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/apply-patch"))
}

fn small(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "other",
    }
}

/// What a method asks of a resource; upstream routes HEAD and OPTIONS to proxies only.
fn verb(method: &Method, path: &ResourcePath, query: &Query) -> Option<Verb> {
    Some(match (method.as_str(), &path.name) {
        ("GET", Some(_)) => Verb::Get,
        ("HEAD" | "OPTIONS", Some(_)) if path.proxied.is_some() => Verb::Get,
        ("GET", None) if query.flag("watch").unwrap_or(false) => Verb::Watch,
        ("GET", None) => Verb::List,
        ("POST", None) => Verb::Create,
        // What has a name already is created in no other way than by its parts.
        ("POST", Some(_)) if path.subresource.is_some() => Verb::Create,
        ("PUT", Some(_)) => Verb::Update,
        ("PATCH", Some(_)) => Verb::Patch,
        ("DELETE", Some(_)) => Verb::Delete,
        ("DELETE", None) => Verb::DeleteCollection,
        _ => return None,
    })
}

/// As upstream's `LongRunningRequestCheck`; a copy of the whole store takes its time, too.
fn length(target: Option<&Target>, path: &str) -> Length {
    let Some(target) = target else {
        return match path {
            "/backup" => Length::Long,
            _ => Length::Short,
        };
    };
    match (target.path.subresource.as_deref(), target.verb) {
        (Some("attach" | "exec" | "log" | "portforward" | "proxy"), _) => Length::Long,
        (_, Some(Verb::Watch)) => Length::Watch,
        _ => Length::Short,
    }
}
