//! Who of a pod sets a field of the security context, and to what.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{containers, named};
use crate::read;

/// The pod and the containers that set something wrong, and containers that leave open what the pod does not set either.
#[derive(Debug, Default)]
pub(super) struct Setters<'a> {
    pub(super) pod: bool,
    pub(super) containers: Vec<&'a str>,
    pub(super) open: Vec<&'a str>,
}

impl<'a> Setters<'a> {
    /// Looks at `securityContext` of the pod and of each container: `bad` says whether what is there is wrong, and nothing
    /// where it is not set.
    pub(super) fn of(pod: &'a Value, mut bad: impl FnMut(&'a Value) -> Option<bool>) -> Self {
        let null = &Value::Null;
        let own = bad(pod.pointer("/spec/securityContext").unwrap_or(null));
        let mut found = Self {
            pod: own == Some(true),
            ..Self::default()
        };
        for container in containers(pod) {
            let name = read::text(container, "name");
            match bad(container.get("securityContext").unwrap_or(null)) {
                Some(true) => found.containers.push(name),
                None if own != Some(false) => found.open.push(name),
                Some(false) | None => {}
            }
        }
        found
    }

    /// `pod and container "a"`, or nothing where nobody sets something wrong.
    pub(super) fn words(&self) -> Option<String> {
        let mut words = Vec::new();
        if self.pod {
            words.push("pod".to_owned());
        }
        if !self.containers.is_empty() {
            words.push(named(&self.containers));
        }
        (!words.is_empty()).then(|| words.join(" and "))
    }
}

/// A field at a dotted path that must be one of `known`, with what else it is set to.
pub(super) fn texts<'a>(pod: &'a Value, path: &str, known: &[&str]) -> (Setters<'a>, BTreeSet<&'a str>) {
    let mut values = BTreeSet::new();
    let parent = path.rsplit_once('.').map_or(path, |(parent, _)| parent);
    let setters = Setters::of(pod, |context| {
        let value = read::present(context, parent).then(|| read::text(context, path))?;
        let bad = !known.contains(&value);
        if bad {
            values.insert(value);
        }
        Some(bad)
    });
    (setters, values)
}
