//! `PodSecurity`: the levels that a namespace's labels ask of its pods (Pod Security Standards).

mod baseline;
mod restricted;
mod setters;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::meta;
use crate::read;
use setters::Setters;

/// Labels of a namespace begin so.
const PREFIX: &str = "pod-security.kubernetes.io/";
/// Names of versions end here; later ones are the newest that is known.
const NEWEST_MINOR: u32 = 36;

/// What pods may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everything.
    Privileged,
    /// Nothing by which privileges are known to be gained.
    Baseline,
    /// Only what is hardened.
    Restricted,
}

impl Level {
    const NAMES: [(&'static str, Self); 3] = [
        ("privileged", Self::Privileged),
        ("baseline", Self::Baseline),
        ("restricted", Self::Restricted),
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// The rules as of which version; a higher minor is a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Those of the newest.
    Latest,
    /// Those of `v1.` and this.
    Minor(u32),
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        let minor = text.strip_prefix("v1.")?;
        let canonical = minor == "0" || !minor.starts_with('0');
        let digits = canonical && minor.bytes().all(|byte| byte.is_ascii_digit());
        minor.parse().ok().filter(|_| digits).map(Self::Minor)
    }

    fn minor(self) -> u32 {
        match self {
            Self::Latest => NEWEST_MINOR,
            Self::Minor(minor) => minor,
        }
    }
}

/// A level as of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standard {
    /// The level.
    pub level: Level,
    /// The version.
    pub version: Version,
}

impl std::fmt::Display for Standard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            Version::Latest => write!(f, "{}:latest", self.level.as_str()),
            Version::Minor(minor) => write!(f, "{}:v1.{minor}", self.level.as_str()),
        }
    }
}

/// What a namespace's labels say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What pods must keep to.
    pub enforce: Standard,
    /// What others are warned of.
    pub warn: Standard,
    /// Labels that cannot be read, as fields with what is wrong. They count as the strictest for `enforce`, as none else.
    pub errors: Vec<crate::FieldError>,
}

impl Policy {
    /// Reads the labels of a namespace; where there are none, everything is allowed.
    #[must_use]
    pub fn of(namespace: &Value) -> Self {
        let labels = meta::labels(namespace);
        let mut errors = Vec::new();
        let enforce = standard(&labels, "enforce", Level::Restricted, &mut errors);
        // Nothing is audited yet; its labels are checked all the same.
        standard(&labels, "audit", Level::Privileged, &mut errors);
        let unread = errors.len();
        let mut warn = standard(&labels, "warn", Level::Privileged, &mut errors);
        let says = |name: &str| labels.contains_key(&format!("{PREFIX}{name}"));
        // Who writes a deployment hears what its pods would be refused for.
        if !says("warn") && says("enforce") && unread == 0 {
            warn.level = enforce.level;
            if !says("warn-version") {
                warn.version = enforce.version;
            }
        }
        Self {
            enforce,
            warn,
            errors,
        }
    }
}

fn standard(
    labels: &BTreeMap<String, String>,
    mode: &str,
    unread: Level,
    errors: &mut Vec<crate::FieldError>,
) -> Standard {
    let path = crate::Path::new("metadata.labels");
    let (key, of_version) = (format!("{PREFIX}{mode}"), format!("{PREFIX}{mode}-version"));
    let level = labels.get(&key).map_or(Level::Privileged, |text| {
        let known = Level::NAMES.iter().find(|(name, _)| name == text);
        known.map_or_else(
            || {
                errors.push(
                    path.key(&key)
                        .invalid(text.as_str(), "must be one of privileged, baseline, restricted"),
                );
                unread
            },
            |(_, level)| *level,
        )
    });
    let version = labels.get(&of_version).map_or(Version::Latest, |text| {
        Version::parse(text).unwrap_or_else(|| {
            let rule = "must be \"latest\" or \"v1.x\"";
            errors.push(path.key(&of_version).invalid(text.as_str(), rule));
            Version::Latest
        })
    });
    Standard { level, version }
}

/// The pod in an object that is one, or that makes pods.
#[must_use]
pub fn template<'a>(kind: &str, object: &'a Value) -> Option<&'a Value> {
    match kind {
        "Pod" => Some(object),
        "PodTemplate" => object.get("template"),
        "CronJob" => object.pointer("/spec/jobTemplate/spec/template"),
        "ReplicationController" | "ReplicaSet" | "Deployment" | "DaemonSet" | "StatefulSet" | "Job" => {
            object.pointer("/spec/template")
        }
        _ => None,
    }
    .filter(|pod| pod.get("spec").is_some())
}

/// Whether an update of a pod is looked at: it brings another image or container.
#[must_use]
pub fn matters(new: &Value, old: &Value) -> bool {
    let images = |pod: &Value| -> Vec<(String, String)> {
        let text = |container: &Value, field: &str| read::text(container, field).to_owned();
        containers(pod)
            .map(|container| (text(container, "name"), text(container, "image")))
            .collect()
    };
    images(new) != images(old)
}

/// One rule: from which minor version, at which level, its name among the rules, and what it says of a pod.
struct Check {
    id: &'static str,
    level: Level,
    since: u32,
    /// The rule that takes its place at the next level.
    overridden_by: Option<&'static str>,
    rule: fn(&Value, u32) -> Option<Violation>,
}

/// What a pod may not do: what, and where it does so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    reason: String,
    detail: String,
}

impl Violation {
    fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            detail: detail.into(),
        }
    }
}

/// What a pod does that a standard forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// What: `reason, reason`.
    pub reasons: String,
    /// With where it does so: `reason (detail), reason (detail)`.
    pub details: String,
}

/// What a pod does that the standard forbids; nothing where it keeps to it.
#[must_use]
pub fn violations(standard: Standard, pod: &Value) -> Option<Findings> {
    let minor = standard.version.minor();
    let mut checks: Vec<&Check> = baseline::CHECKS.iter().chain(&restricted::CHECKS).collect();
    checks.retain(|check| check.level <= standard.level && check.since <= minor);
    let overridden = |check: &Check| {
        let stricter = check.overridden_by;
        stricter.is_some_and(|id| standard.level == Level::Restricted && restricted::is_in_force(id, minor))
    };
    checks.retain(|check| !overridden(check));
    checks.sort_by_key(|check| check.id);
    let found: Vec<Violation> = checks
        .iter()
        .filter_map(|check| (check.rule)(pod, minor))
        .collect();
    let joined = |text: fn(&Violation) -> String| found.iter().map(text).collect::<Vec<_>>().join(", ");
    (!found.is_empty()).then(|| Findings {
        reasons: joined(|violation| violation.reason.clone()),
        details: joined(|Violation { reason, detail }| format!("{reason} ({detail})")),
    })
}

/// The containers of every list.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = [
        "spec.initContainers",
        "spec.containers",
        "spec.ephemeralContainers",
    ];
    lists.into_iter().flat_map(|list| read::list(pod, list))
}

/// `one` or `many`, by how many there are.
fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`.
fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(crate::field::quote).collect();
    quoted.join(", ")
}

/// `container "a"`, or `containers "a", "b"`.
fn named(names: &[&str]) -> String {
    format!(
        "{} {}",
        plural(names.len(), "container", "containers"),
        quoted(names.iter().copied())
    )
}

#[cfg(test)]
mod tests;
