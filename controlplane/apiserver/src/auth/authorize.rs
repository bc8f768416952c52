//! Authorisation until RBAC: administrators and components may do all, nodes and joining machines what
//! they need.

use controlplane_api::{ApiError, FieldSelector, UserInfo};

use serde_json::Value;

use crate::auth::authenticate::AUTHENTICATED;
use crate::auth::node;
use crate::meta_api::issuer;
use crate::request::path::ResourcePath;
use crate::request::query::Query;
use crate::server::Inner;

/// A request as authorisation sees it.
#[derive(Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) user: &'a UserInfo,
    pub(crate) verb: &'a str,
    pub(crate) path: &'a ResourcePath,
    /// The node that a field selector pins `spec.nodeName` to.
    pub(crate) selected_node: Option<String>,
    /// The name that a field selector pins `metadata.name` to.
    pub(crate) selected_name: Option<String>,
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(user: &'a UserInfo, verb: &'a str, path: &'a ResourcePath, query: &Query) -> Self {
        let fields = query
            .get("fieldSelector")
            .and_then(|text| FieldSelector::parse(text).ok());
        let pinned = |label: &str| {
            fields
                .as_ref()
                .and_then(|fields| fields.required(label))
                .map(str::to_owned)
        };
        Self {
            user,
            verb,
            path,
            selected_node: pinned("spec.nodeName"),
            selected_name: pinned("metadata.name"),
        }
    }

    /// What a review asks about, whose field selector is an object.
    pub(crate) fn asked(
        user: &'a UserInfo,
        verb: &'a str,
        path: &'a ResourcePath,
        selector: Option<&Value>,
    ) -> Self {
        let text = |object: &Value, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let raw = selector.and_then(|selector| text(selector, "rawSelector"));
        let raw = raw.and_then(|raw| FieldSelector::parse(&raw).ok());
        let requirements = selector.and_then(|selector| selector.get("requirements")?.as_array());
        let pinned = |label: &str| {
            let of_raw = raw.as_ref().and_then(|fields| fields.required(label));
            let of_list = || {
                let found = requirements.into_iter().flatten().find(|requirement| {
                    text(requirement, "key").as_deref() == Some(label)
                        && text(requirement, "operator").as_deref() == Some("In")
                })?;
                match found.get("values")?.as_array()?.as_slice() {
                    [only] => only.as_str().map(str::to_owned),
                    _ => None,
                }
            };
            of_raw.map(str::to_owned).or_else(of_list)
        };
        Self {
            user,
            verb,
            path,
            selected_node: pinned("spec.nodeName"),
            selected_name: pinned("metadata.name"),
        }
    }

    /// The object's name, also where a list or watch is pinned to one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.path.name.as_deref().or(self.selected_name.as_deref())
    }

    /// Group and resource with subresource, such as `/pods/status`.
    pub(crate) fn what(&self) -> String {
        let ResourcePath {
            group,
            plural,
            subresource,
            ..
        } = self.path;
        let sub = subresource
            .as_deref()
            .map(|name| format!("/{name}"))
            .unwrap_or_default();
        format!("{group}/{plural}{sub}")
    }
}

/// The users and groups that may do everything.
pub(crate) fn is_trusted(user: &UserInfo) -> bool {
    let component = [
        "system:kube-controller-manager",
        "system:kube-scheduler",
        "system:apiserver",
    ];
    in_group(user, "system:masters") || component.contains(&user.username.as_str())
}

pub(crate) fn in_group(user: &UserInfo, group: &str) -> bool {
    user.groups.iter().any(|name| name == group)
}

/// Decides about a request for a resource.
///
/// # Errors
///
/// 403 in upstream's words.
pub(crate) fn resource(server: &Inner, attributes: &Attributes<'_>) -> Result<(), ApiError> {
    let user = attributes.user;
    let allowed = is_trusted(user)
        || is_about_oneself(attributes)
        || node::name(user)
            .is_some_and(|node| node::allows(&node::StoreFacts::new(&server.store), node, attributes))
        || (in_group(user, "system:bootstrappers") && bootstrapper_allows(attributes));
    if allowed {
        Ok(())
    } else {
        Err(forbidden(attributes))
    }
}

/// Everybody may ask who they are and what they may do.
fn is_about_oneself(attributes: &Attributes<'_>) -> bool {
    let questions = [
        "authentication.k8s.io/selfsubjectreviews",
        "authorization.k8s.io/selfsubjectaccessreviews",
        "authorization.k8s.io/selfsubjectrulesreviews",
    ];
    attributes.verb == "create"
        && in_group(attributes.user, AUTHENTICATED)
        && questions.contains(&attributes.what().as_str())
}

/// The group of all service accounts.
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Paths that are no resources and that everybody who is known may read; a star stands for the rest.
pub(crate) const URLS: [&str; 10] = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
];

/// Whether somebody may use a path that is no resource.
pub(crate) fn url(user: &UserInfo, verb: &str, path: &str) -> bool {
    let covered = |known: &str| {
        known
            .strip_suffix('*')
            .map_or(path == known, |prefix| path.starts_with(prefix))
    };
    is_trusted(user)
        || verb == "get" && in_group(user, AUTHENTICATED) && URLS.iter().any(|known| covered(known))
        || verb == "get" && is_account_asking_for_issuer(user, path)
}

/// Whether what the user may do can be told without asking about one thing.
pub(crate) fn is_listable(user: &UserInfo) -> bool {
    node::name(user).is_none() && !in_group(user, "system:bootstrappers")
}

/// A joining machine asks for certificates and sees whether it got them; nothing else.
fn bootstrapper_allows(attributes: &Attributes<'_>) -> bool {
    attributes.what() == "certificates.k8s.io/certificatesigningrequests"
        && matches!(attributes.verb, "create" | "get" | "list" | "watch")
}

fn forbidden(attributes: &Attributes<'_>) -> ApiError {
    let ResourcePath {
        group,
        plural,
        namespace,
        subresource,
        ..
    } = attributes.path;
    let sub = subresource
        .as_deref()
        .map(|name| format!("/{name}"))
        .unwrap_or_default();
    let scope = match namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".to_owned(),
    };
    let why = format!(
        "User \"{}\" cannot {} resource \"{plural}{sub}\" in API group \"{group}\" {scope}",
        attributes.user.username, attributes.verb
    );
    ApiError::forbidden(
        group,
        plural,
        attributes.path.name.as_deref().unwrap_or_default(),
        &why,
    )
}

/// Upstream's role `system:service-account-issuer-discovery`.
fn is_account_asking_for_issuer(user: &UserInfo, path: &str) -> bool {
    in_group(user, SERVICE_ACCOUNTS) && [issuer::DESCRIPTION, issuer::KEYS].contains(&path)
}

/// Decides about a path that is no resource and is not for everybody, or not served: only the trusted learn that it is not.
///
/// # Errors
///
/// 403 in upstream's words.
pub(crate) fn other_path(user: &UserInfo, path: &str) -> Result<(), ApiError> {
    if is_trusted(user) || is_account_asking_for_issuer(user, path) {
        return Ok(());
    }
    let why = format!("User \"{}\" cannot get path \"{path}\"", user.username);
    Err(ApiError::forbidden("", "", "", &why))
}
