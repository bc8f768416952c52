//! Whether a schema's rules speak of a request.

use controlplane_api::UserInfo;
use serde::Deserialize;

use crate::request::path::ResourcePath;

/// A request, as schemas look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) user: &'a UserInfo,
    /// Such as `list`; of a path that is no resource, the method in small letters.
    pub(crate) verb: &'a str,
    pub(crate) what: What<'a>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What<'a> {
    /// A resource.
    Resource(&'a ResourcePath),
    /// Another path.
    Path(&'a str),
}

impl<'a> Asked<'a> {
    pub(super) fn namespace(&self) -> &'a str {
        match self.what {
            What::Resource(path) => path.namespace.as_deref().unwrap_or_default(),
            What::Path(_) => "",
        }
    }
}

/// Who asks for what: `PolicyRulesWithSubjects`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rules {
    #[serde(default)]
    subjects: Vec<Subject>,
    #[serde(default)]
    resource_rules: Vec<ResourceRule>,
    #[serde(default)]
    non_resource_rules: Vec<PathRule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subject {
    #[serde(default)]
    user: Option<Name>,
    #[serde(default)]
    group: Option<Name>,
    #[serde(default)]
    service_account: Option<Account>,
}

#[derive(Debug, Deserialize)]
struct Name {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Account {
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceRule {
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    api_groups: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    cluster_scope: bool,
    #[serde(default)]
    namespaces: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PathRule {
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    urls: Vec<String>,
}

fn names(list: &[String], text: &str) -> bool {
    list.iter().any(|name| name == "*" || name == text)
}

impl Rules {
    pub(super) fn matches(&self, asked: &Asked<'_>) -> bool {
        if !self.subjects.iter().any(|subject| subject.matches(asked.user)) {
            return false;
        }
        match asked.what {
            What::Resource(path) => self
                .resource_rules
                .iter()
                .any(|rule| rule.matches(asked.verb, path)),
            What::Path(path) => self
                .non_resource_rules
                .iter()
                .any(|rule| rule.matches(asked.verb, path)),
        }
    }
}

impl Subject {
    fn matches(&self, user: &UserInfo) -> bool {
        let is_user = |name: &Name| name.name == "*" || name.name == user.username;
        let in_group = |name: &Name| name.name == "*" || user.groups.contains(&name.name);
        self.user.as_ref().is_some_and(is_user)
            || self.group.as_ref().is_some_and(in_group)
            || self
                .service_account
                .as_ref()
                .is_some_and(|account| account.is(user))
    }
}

impl Account {
    fn is(&self, user: &UserInfo) -> bool {
        let account = user.username.strip_prefix("system:serviceaccount:");
        let Some((namespace, name)) = account.and_then(|account| account.split_once(':')) else {
            return false;
        };
        namespace == self.namespace && (self.name == "*" || self.name == name)
    }
}

impl ResourceRule {
    fn matches(&self, verb: &str, path: &ResourcePath) -> bool {
        let here = match path.namespace.as_deref() {
            Some(namespace) => names(&self.namespaces, namespace),
            None => self.cluster_scope,
        };
        here && names(&self.verbs, verb) && names(&self.api_groups, &path.group) && self.names(path)
    }

    /// Whether the resource is named, with its subresource where there is one.
    fn names(&self, path: &ResourcePath) -> bool {
        let Some(part) = &path.subresource else {
            return names(&self.resources, &path.plural);
        };
        self.resources
            .iter()
            .any(|name| name == "*" || name.split_once('/') == Some((path.plural.as_str(), part.as_str())))
    }
}

impl PathRule {
    fn matches(&self, verb: &str, path: &str) -> bool {
        let fits = |url: &String| {
            url == "*"
                || url == path
                || url
                    .strip_suffix('*')
                    .is_some_and(|start| start.ends_with('/') && path.starts_with(start))
        };
        names(&self.verbs, verb) && self.urls.iter().any(fits)
    }
}
