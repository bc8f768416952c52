//! The kinds a server serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::resource::Resource;

/// One API group and its versions, the preferred one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name; empty for core.
    pub name: String,
    /// Versions, the preferred one first.
    pub versions: Vec<String>,
}

type Key = (String, String, String);

/// Every kind by group, version and plural name. Cheap to clone; custom kinds are added to a clone,
/// which then replaces the one in use.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    resources: BTreeMap<Key, Arc<Resource>>,
}

impl Registry {
    /// A registry of no kinds.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds a kind, in place of one of the same group, version and plural name.
    pub fn register(&mut self, resource: Resource) {
        let key = (
            resource.group.to_string(),
            resource.version.to_string(),
            resource.plural.to_string(),
        );
        self.resources.insert(key, Arc::new(resource));
    }

    /// Removes a kind; says whether it was there.
    pub fn unregister(&mut self, group: &str, version: &str, plural: &str) -> bool {
        self.resources
            .remove(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .is_some()
    }

    /// The kind with this plural name.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// The kind with this kind.
    #[must_use]
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.iter()
            .find(|found| found.group == group && found.version == version && found.kind == kind)
    }

    /// Every kind, in order of group, version and plural name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// The kinds of one group and version, in order of plural name.
    pub fn in_group_version(&self, group: &str, version: &str) -> impl Iterator<Item = &Arc<Resource>> {
        self.iter()
            .filter(move |found| found.group == group && found.version == version)
    }

    /// Every group with its versions, the newest stable version first.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for resource in self.iter() {
            let versions = groups.entry(&resource.group).or_default();
            if !versions.iter().any(|version| *version == resource.version) {
                versions.push(resource.version.to_string());
            }
        }
        groups
            .into_iter()
            .map(|(name, mut versions)| {
                versions.sort_by_key(|version| version_rank(version));
                Group {
                    name: name.to_owned(),
                    versions,
                }
            })
            .collect()
    }
}

/// Sorts `v2, v1, v1beta2, v1beta1, v1alpha1, other`, as Kubernetes prefers versions.
fn version_rank(version: &str) -> (u8, std::cmp::Reverse<u32>, std::cmp::Reverse<u32>, String) {
    use std::cmp::Reverse;
    let other = || (3, Reverse(0), Reverse(0), version.to_owned());
    let Some(rest) = version.strip_prefix('v') else {
        return other();
    };
    for (stage, rank) in [("alpha", 2), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(stage) {
            return match (major.parse(), minor.parse()) {
                (Ok(major), Ok(minor)) => (rank, Reverse(major), Reverse(minor), String::new()),
                _ => other(),
            };
        }
    }
    rest.parse().map_or_else(
        |_| other(),
        |major| (0, Reverse(major), Reverse(0), String::new()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_preferred_stable_first_then_newest() {
        let mut versions = ["v1alpha1", "v1", "foo", "v1beta2", "v2", "v10", "v1beta11"];
        versions.sort_by_key(|version| version_rank(version));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v1beta11", "v1beta2", "v1alpha1", "foo"]
        );
    }
}
