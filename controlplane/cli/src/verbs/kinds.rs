//! What kinds the server has, and which of them a user means.

use anyhow::{Context, bail};
use futures::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;

use super::api::{Api, escape, sentence};

/// A kind at one version of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
}

impl Kind {
    fn from_resource(group: &str, version: &str, resource: APIResource) -> Self {
        let singular = if resource.singular_name.is_empty() {
            resource.kind.to_lowercase()
        } else {
            resource.singular_name
        };
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: resource.kind,
            plural: resource.name,
            singular,
            short_names: resource.short_names.unwrap_or_default(),
            categories: resource.categories.unwrap_or_default(),
            namespaced: resource.namespaced,
        }
    }

    /// `v1` or `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pod` or `deployment.apps`, as objects are named to users.
    pub(crate) fn label(&self) -> String {
        if self.group.is_empty() {
            self.singular.clone()
        } else {
            format!("{}.{}", self.singular, self.group)
        }
    }

    /// Where objects are: all of them, those of a namespace, or one.
    pub(crate) fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let mut path = format!("{root}/{}", self.api_version());
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str(&format!("/namespaces/{}", escape(namespace)));
        }
        path.push('/');
        path.push_str(&self.plural);
        if let Some(name) = name {
            path.push('/');
            path.push_str(&escape(name));
        }
        path
    }

    fn answers_to(&self, word: &str) -> bool {
        [&self.plural, &self.singular]
            .into_iter()
            .chain(&self.short_names)
            .any(|name| name == word)
            || self.kind.eq_ignore_ascii_case(word)
    }

    fn is_in(&self, group: &str) -> bool {
        self.group == group || format!("{}.{}", self.version, self.group) == group
    }
}

/// Every kind, preferred versions first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds(Vec<Kind>);

impl Kinds {
    /// Asks the server. A group that does not answer, as one served by a broken extension, is left out.
    pub(crate) async fn discover(api: &Api) -> anyhow::Result<Self> {
        let client = &api.client;
        let core = client
            .list_core_api_resources("v1")
            .await
            .map_err(sentence)
            .context("ask the server for its kinds")?;
        let groups = client
            .list_api_groups()
            .await
            .map_err(sentence)
            .context("ask the server for its kinds")?;
        let mut versions: Vec<(bool, String, String)> = Vec::new();
        for group in groups.groups {
            let preferred = group.preferred_version.map(|version| version.group_version);
            for version in group.versions {
                let later = preferred
                    .as_ref()
                    .is_some_and(|preferred| *preferred != version.group_version);
                versions.push((later, group.name.clone(), version.version));
            }
        }
        versions.sort_by_key(|(later, _, _)| *later);
        let lists = join_all(versions.iter().map(|(_, group, version)| async move {
            let list = client
                .list_api_group_resources(&format!("{group}/{version}"))
                .await
                .ok()?;
            Some((group.as_str(), version.as_str(), list.resources))
        }));
        let lists = lists.await.into_iter().flatten();
        Ok(Self::from_lists(
            [("", "v1", core.resources)].into_iter().chain(lists),
        ))
    }

    fn from_lists<'a>(lists: impl Iterator<Item = (&'a str, &'a str, Vec<APIResource>)>) -> Self {
        let kinds = lists.flat_map(|(group, version, resources)| {
            let whole = resources
                .into_iter()
                .filter(|resource| !resource.name.contains('/'));
            whole.map(|resource| Kind::from_resource(group, version, resource))
        });
        Self(kinds.collect())
    }

    /// The kinds that `word` means: a plural, singular, short name or kind, perhaps with `.group` or
    /// `.version.group`, or a category such as `all`.
    pub(crate) fn find(&self, word: &str) -> anyhow::Result<Vec<&Kind>> {
        let lower = word.to_lowercase();
        let (name, group) = lower.split_once('.').unwrap_or((&lower, ""));
        let fits = |kind: &&Kind| kind.answers_to(name) && (group.is_empty() || kind.is_in(group));
        if let Some(kind) = self.0.iter().find(fits) {
            return Ok(vec![kind]);
        }
        let members: Vec<&Kind> = self
            .preferred()
            .filter(|kind| kind.categories.contains(&lower))
            .collect();
        if members.is_empty() {
            bail!("the server has no kind {word}{}", self.suggestion(name));
        }
        Ok(members)
    }

    /// The kind that an object names by `apiVersion` and `kind`.
    pub(crate) fn of(&self, api_version: &str, kind: &str) -> anyhow::Result<&Kind> {
        if let Some(found) = self
            .0
            .iter()
            .find(|found| found.kind == kind && found.api_version() == api_version)
        {
            return Ok(found);
        }
        let hint = match self.0.iter().find(|found| found.kind == kind) {
            Some(elsewhere) => format!(": it has {}", elsewhere.api_version()),
            None => self.suggestion(&kind.to_lowercase()),
        };
        bail!("the server has no kind {kind} in {api_version}{hint}")
    }

    /// Each kind once.
    fn preferred(&self) -> impl Iterator<Item = &Kind> {
        self.0.iter().enumerate().filter_map(|(at, kind)| {
            let before = self.0.iter().take(at);
            let mut same = before.filter(|other| other.group == kind.group && other.kind == kind.kind);
            same.next().is_none().then_some(kind)
        })
    }

    fn suggestion(&self, word: &str) -> String {
        let names = self.0.iter().flat_map(|kind| {
            [&kind.plural, &kind.singular]
                .into_iter()
                .chain(&kind.short_names)
        });
        let near = names
            .map(|name| (strsim::damerau_levenshtein(name, word), name))
            .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
            .min_by_key(|(distance, _)| *distance);
        near.map(|(_, name)| format!(": did you mean {name}?"))
            .unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn resource(name: &str, kind: &str, short: &[&str]) -> APIResource {
        let strings = |list: &[&str]| Some(list.iter().map(|text| (*text).to_owned()).collect());
        APIResource {
            name: name.into(),
            kind: kind.into(),
            singular_name: kind.to_lowercase(),
            short_names: strings(short),
            categories: strings(&["all"]),
            namespaced: kind != "Node",
            ..APIResource::default()
        }
    }

    pub(in super::super) fn some() -> Kinds {
        let core = vec![
            resource("pods", "Pod", &["po"]),
            resource("nodes", "Node", &["no"]),
            resource("pods/log", "Pod", &[]),
        ];
        let apps = |_| vec![resource("deployments", "Deployment", &["deploy"])];
        Kinds::from_lists(
            [
                ("", "v1", core),
                ("apps", "v1", apps(1)),
                ("apps", "v1beta1", apps(2)),
            ]
            .into_iter(),
        )
    }

    #[test]
    fn a_kind_is_found_by_each_of_its_names() {
        let kinds = some();
        let version = |word: &str| kinds.find(word).map(|found| found[0].api_version()).unwrap();
        for word in [
            "deployments",
            "deployment",
            "Deployment",
            "deploy",
            "deployments.apps",
            "deploy.v1.apps",
        ] {
            assert_eq!(version(word), "apps/v1", "{word}");
        }
        assert_eq!(version("deployments.v1beta1.apps"), "apps/v1beta1");
        assert_eq!(kinds.find("all").unwrap().len(), 3);
    }

    #[test]
    fn an_unknown_kind_gets_a_suggestion() {
        let message = |word: &str| some().find(word).unwrap_err().to_string();
        assert_eq!(
            message("deploymnets"),
            "the server has no kind deploymnets: did you mean deployments?"
        );
        assert_eq!(message("pds"), "the server has no kind pds: did you mean pods?");
        assert_eq!(message("frobnicators"), "the server has no kind frobnicators");
    }

    #[test]
    fn an_object_of_another_version_is_told_which_there_is() {
        let kinds = some();
        assert_eq!(kinds.of("apps/v1", "Deployment").unwrap().plural, "deployments");
        let message = kinds
            .of("extensions/v1beta1", "Deployment")
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "the server has no kind Deployment in extensions/v1beta1: it has apps/v1"
        );
    }

    #[test]
    fn paths_follow_group_scope_and_name() {
        let kinds = some();
        let path = |word: &str| kinds.find(word).unwrap()[0].path(Some("ns"), Some("a/b"));
        assert_eq!(path("pod"), "/api/v1/namespaces/ns/pods/a%2Fb");
        assert_eq!(path("node"), "/api/v1/nodes/a%2Fb");
        assert_eq!(path("deploy"), "/apis/apps/v1/namespaces/ns/deployments/a%2Fb");
    }
}
