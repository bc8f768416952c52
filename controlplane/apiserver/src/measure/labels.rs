//! The labels of upstream's request metrics.

use controlplane_api::resource::Text;
use controlplane_api::{Resource, Verb};
use http::Method;
use prometheus_client::encoding::EncodeLabelSet;

use crate::front::info::{Info, Length, Target};
use crate::request::query::{Query, dry_run as asks_for_dry_run};

/// Which requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Named {
    verb: &'static str,
    group: Text,
    version: Text,
    resource: Text,
    subresource: Text,
    scope: &'static str,
    component: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Timed {
    #[prometheus(flatten)]
    pub(super) named: Named,
    pub(super) dry_run: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Counted {
    #[prometheus(flatten)]
    pub(super) named: Named,
    pub(super) dry_run: &'static str,
    pub(super) code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Terminated {
    #[prometheus(flatten)]
    pub(super) named: Named,
    pub(super) code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct InFlight {
    pub(super) request_kind: &'static str,
}

/// A resource that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    pub(super) group: Text,
    pub(super) version: Text,
    pub(super) resource: Text,
}

/// Whether a write is a dry run: `All`, or nothing.
pub(super) fn dry_run(query: &Query) -> &'static str {
    match asks_for_dry_run(query.all("dryRun")) {
        Ok(true) => "All",
        Ok(false) | Err(_) => "",
    }
}

/// Paths of their own, by which requests about no resource are told apart.
const PATHS: [&str; 8] = [
    "/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi", "/readyz", "/version",
];

impl Named {
    pub(super) fn of(info: &Info, path: &str) -> Self {
        let Some(target) = &info.target else {
            return Self::path(info, path);
        };
        let empty = Self::blank(verb(info, target));
        let Some(resource) = &target.resource else {
            return empty;
        };
        Self {
            group: resource.group.clone(),
            version: resource.version.clone(),
            resource: resource.plural.clone(),
            subresource: part(resource, target),
            scope: scope(target),
            ..empty
        }
    }

    /// A request of which nothing else is known.
    pub(super) fn unknown(method: &Method) -> Self {
        Self::blank(known(method.as_str()))
    }

    fn path(info: &Info, path: &str) -> Self {
        let is_under = |root: &&&str| {
            let rest = path.strip_prefix(**root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let root = PATHS.iter().find(is_under).copied().unwrap_or_default();
        Self {
            subresource: Text::Borrowed(root),
            ..Self::blank(known(&info.verb_name().to_uppercase()))
        }
    }

    fn blank(verb: &'static str) -> Self {
        let none = Text::Borrowed("");
        Self {
            verb,
            group: none.clone(),
            version: none.clone(),
            resource: none.clone(),
            subresource: none,
            scope: "",
            component: "apiserver",
        }
    }

    /// Whether the size of answers is kept.
    pub(super) fn reads(&self) -> bool {
        matches!(self.verb, "GET" | "LIST")
    }
}

/// A method that is known, so that nobody makes labels up.
fn known(method: &str) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

fn verb(info: &Info, target: &Target) -> &'static str {
    if info.length == Length::Long {
        return "CONNECT";
    }
    match target.verb {
        Some(Verb::Get) => "GET",
        Some(Verb::List) => "LIST",
        Some(Verb::Watch) => "WATCH",
        Some(Verb::Create) => "POST",
        Some(Verb::Update) => "PUT",
        Some(Verb::Patch) if info.applies => "APPLY",
        Some(Verb::Patch) => "PATCH",
        Some(Verb::Delete) => "DELETE",
        Some(Verb::DeleteCollection) => "DELETECOLLECTION",
        None => "other",
    }
}

fn part(resource: &Resource, target: &Target) -> Text {
    let asked = target.path.subresource.as_deref();
    let served = asked.and_then(|name| resource.subresource(name));
    served.map_or(Text::Borrowed(""), |part| part.name.clone())
}

fn scope(target: &Target) -> &'static str {
    match (&target.path.name, &target.path.namespace, target.verb) {
        (Some(_), _, _) | (None, _, Some(Verb::Create)) => "resource",
        (None, Some(_), _) => "namespace",
        (None, None, _) => "cluster",
    }
}
