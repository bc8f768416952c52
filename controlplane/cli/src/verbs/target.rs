//! What a user points at.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::api::Api;
use super::documents;
use super::kinds::{Kind, Kinds};
use super::{Place, Which};

/// One object, or all objects of a kind in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    /// None is every namespace, or a kind that has none.
    pub(crate) namespace: Option<String>,
    /// None is all of them.
    pub(crate) name: Option<String>,
}

impl Target {
    /// Where it is.
    pub(crate) fn path(&self) -> String {
        self.kind.path(self.namespace.as_deref(), self.name.as_deref())
    }

    /// `pod web`, for sentences.
    pub(crate) fn shown(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        match &self.namespace {
            Some(namespace) if namespace != "default" => format!("{} {namespace}/{name}", self.kind.label()),
            _ => format!("{} {name}", self.kind.label()),
        }
    }

    /// `pod/web`, for results.
    pub(crate) fn label(&self) -> String {
        format!(
            "{}/{}",
            self.kind.label(),
            self.name.as_deref().unwrap_or_default()
        )
    }
}

/// What the words or the files mean.
pub(crate) async fn resolve(
    api: &Api,
    words: &[String],
    files: &[PathBuf],
    place: &Place,
    which: &Which,
) -> anyhow::Result<Vec<Target>> {
    let here = namespace(api, place);
    if words.is_empty() {
        let documents = documents::read_all(files)?;
        let kinds = Kinds::discover(api).await?;
        return documents
            .iter()
            .map(|object| of_object(&kinds, object, &here))
            .collect();
    }
    let kinds = Kinds::discover(api).await?;
    let here = if which.all_namespaces {
        None
    } else {
        Some(here.as_str())
    };
    of_words(&kinds, words, here)
}

/// The namespace that is meant where nothing names one.
pub(crate) fn namespace(api: &Api, place: &Place) -> String {
    place
        .namespace
        .clone()
        .unwrap_or_else(|| api.client.default_namespace().to_owned())
}

/// The object that a document describes.
pub(crate) fn of_object(kinds: &Kinds, object: &serde_json::Value, here: &str) -> anyhow::Result<Target> {
    let text = |pointer: &str| object.pointer(pointer).and_then(serde_json::Value::as_str);
    let kind = text("/kind").context("a document has no kind")?;
    let api_version =
        text("/apiVersion").with_context(|| format!("a document of kind {kind} has no apiVersion"))?;
    let name =
        text("/metadata/name").with_context(|| format!("a document of kind {kind} has no metadata.name"))?;
    let kind = kinds.of(api_version, kind)?.clone();
    let namespace = kind
        .namespaced
        .then(|| text("/metadata/namespace").unwrap_or(here).to_owned());
    Ok(Target {
        kind,
        namespace,
        name: Some(name.to_owned()),
    })
}

fn of_words(kinds: &Kinds, words: &[String], here: Option<&str>) -> anyhow::Result<Vec<Target>> {
    let Some((first, names)) = words.split_first() else {
        bail!("nothing is named")
    };
    if first.contains('/') {
        let each = words.iter().map(|word| match word.split_once('/') {
            Some((kind, name)) => one(kinds, kind, name, here),
            None => bail!("{word}: after KIND/NAME every word must be KIND/NAME"),
        });
        return each.collect();
    }
    if !names.is_empty() {
        return names.iter().map(|name| one(kinds, first, name, here)).collect();
    }
    let mut targets = Vec::new();
    for word in first.split(',') {
        let found = kinds.find(word)?.into_iter().cloned();
        targets.extend(found.map(|kind| Target {
            namespace: here.filter(|_| kind.namespaced).map(str::to_owned),
            name: None,
            kind,
        }));
    }
    Ok(targets)
}

/// One object: `name`, or `namespace/name`.
fn one(kinds: &Kinds, kind: &str, name: &str, here: Option<&str>) -> anyhow::Result<Target> {
    let kinds = kinds.find(kind)?;
    let [found] = kinds.as_slice() else {
        bail!("{kind} is many kinds, and a name is of one: name the kind")
    };
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (here, name),
    };
    if name.is_empty() {
        bail!("{kind} needs a name after the slash");
    }
    if found.namespaced && namespace.is_none() {
        bail!("a name is of one namespace: use {kind} NAMESPACE/NAME instead of --all-namespaces");
    }
    let namespace = namespace.filter(|_| found.namespaced).map(str::to_owned);
    Ok(Target {
        kind: (*found).clone(),
        namespace,
        name: Some(name.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::kinds::tests::some;
    use super::*;

    fn paths(words: &[&str], here: Option<&str>) -> anyhow::Result<Vec<String>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(of_words(&some(), &words, here)?
            .iter()
            .map(Target::path)
            .collect())
    }

    #[test]
    fn each_way_of_naming_reaches_its_object() {
        let here = Some("default");
        assert_eq!(
            paths(&["pod", "web"], here).unwrap(),
            ["/api/v1/namespaces/default/pods/web"]
        );
        assert_eq!(
            paths(&["pod", "ns/web"], here).unwrap(),
            ["/api/v1/namespaces/ns/pods/web"]
        );
        let both = ["/api/v1/namespaces/default/pods/web", "/api/v1/nodes/n"];
        assert_eq!(paths(&["pod/web", "node/n"], here).unwrap(), both);
        let both = ["/api/v1/namespaces/default/pods", "/api/v1/nodes"];
        assert_eq!(paths(&["po,no"], here).unwrap(), both);
        assert_eq!(paths(&["po"], None).unwrap(), ["/api/v1/pods"]);
    }

    #[test]
    fn a_name_without_its_one_kind_or_namespace_is_refused() {
        for (words, here) in [
            (["all", "web"], Some("default")),
            (["pod", "web"], None),
            (["pod/web", "x"], None),
        ] {
            assert!(paths(&words, here).is_err(), "{words:?}");
        }
        assert!(paths(&["pod/"], Some("default")).is_err());
    }
}
