//! What a client is warned of about volumes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Path, quote};
use crate::read;
use crate::resource::at;
use crate::validate::volume_claim;

/// Volumes that are no more, or will not be, and what was before and after volumes of claims are looked at.
const OLD_BEFORE: [(&str, &str); 7] = [
    (
        "photonPersistentDisk",
        "deprecated in v1.11, non-functional in v1.16+",
    ),
    ("gitRepo", "deprecated in v1.11"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
];
const OLD_AFTER: [(&str, &str); 2] = [
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Warnings about a pod's volumes.
pub(super) fn of_volumes(spec: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (index, volume) in read::list(spec, "volumes").iter().enumerate() {
        let path = path.index(index);
        let old = |&(kind, words): &(&str, &str)| {
            // Upstream shows this kind's name as its Go code does.
            let shown = if kind == "storageos" { "storageOS" } else { kind };
            read::present(volume, kind).then(|| format!("{}: {words}", path.child(shown)))
        };
        warnings.extend(OLD_BEFORE.iter().filter_map(old));
        if let Some(claim) = at(volume, "ephemeral.volumeClaimTemplate.spec") {
            let path = path.child("ephemeral").child("volumeClaimTemplate").child("spec");
            warnings.extend(volume_claim::fraction(claim, &path));
        }
        warnings.extend(OLD_AFTER.iter().filter_map(old));
    }
    for volume in read::list(spec, "volumes") {
        warnings.extend(overlaps(volume));
    }
    warnings
}

/// Files of one volume that would lie on or under each other.
fn overlaps(volume: &Value) -> Vec<String> {
    let name = quote(read::text(volume, "name"));
    let mut warnings = Vec::new();
    if let Some(paths) = items(volume, "configMap") {
        let of = quote(read::text(volume, "configMap.name"));
        warnings.extend(collisions(&paths, &format!("volume {name} (ConfigMap {of})")));
    }
    if let Some(paths) = items(volume, "secret") {
        let of = quote(read::text(volume, "secret.secretName"));
        warnings.extend(collisions(&paths, &format!("volume {name} (Secret {of})")));
    }
    if let Some(paths) = items(volume, "downwardAPI") {
        warnings.extend(collisions(&paths, &format!("volume {name} (DownwardAPI)")));
    }
    // Upstream looks at a source without paths as at the one before it.
    let (mut paths, mut title) = (Vec::new(), String::new());
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for source in read::list(volume, "projected.sources") {
        if source.as_object().is_none_or(serde_json::Map::is_empty) {
            warnings.push(format!("volume {name} (Projected) has no sources provided"));
            continue;
        }
        if let Some((found, kind)) = projected(source) {
            paths = found;
            title = format!("volume {name} (Projected {kind})");
        }
        if paths.is_empty() {
            continue;
        }
        warnings.extend(collisions(&paths, &title));
        let own: BTreeSet<&str> = paths.iter().copied().collect();
        let mut together: Vec<&str> = own.iter().chain(&taken).copied().collect();
        together.sort_unstable();
        warnings.extend(collisions(&together, &title));
        taken.extend(own);
    }
    warnings
}

/// The paths of one source of a projected volume, and what it is called.
fn projected(source: &Value) -> Option<(Vec<&str>, String)> {
    let named = |kind: &str, field: &str| format!("{kind} {}", quote(read::text(source, field)));
    if let Some(paths) = items(source, "configMap") {
        return Some((paths, named("ConfigMap", "configMap.name")));
    }
    if let Some(paths) = items(source, "secret") {
        return Some((paths, named("Secret", "secret.name")));
    }
    if let Some(paths) = items(source, "downwardAPI") {
        return Some((paths, "DownwardAPI".to_owned()));
    }
    if read::present(source, "serviceAccountToken") {
        let path = read::text(source, "serviceAccountToken.path");
        return Some((vec![path], "ServiceAccountToken".to_owned()));
    }
    if read::present(source, "clusterTrustBundle") {
        let by = match read::present(source, "clusterTrustBundle.name") {
            true => "clusterTrustBundle.name",
            false => "clusterTrustBundle.signerName",
        };
        let path = read::text(source, "clusterTrustBundle.path");
        return Some((vec![path], named("ClusterTrustBundle", by)));
    }
    None
}

fn items<'a>(object: &'a Value, kind: &str) -> Option<Vec<&'a str>> {
    let items = object.get(kind)?.get("items")?.as_array()?;
    Some(items.iter().map(|item| read::text(item, "path")).collect())
}

fn collisions(paths: &[&str], title: &str) -> Vec<String> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut warnings = Vec::new();
    for path in paths {
        let path = path.trim_end_matches('/');
        if let Some(other) = seen.iter().find(|other| overlap(other, path)) {
            let (path, other) = (quote(path), quote(other));
            warnings.push(format!("{title}: overlapping paths: {path} with {other}"));
        }
        seen.insert(path);
    }
    warnings
}

/// By characters, as upstream: `paths` is under `path`.
fn overlap(one: &str, other: &str) -> bool {
    let known = !one.is_empty() && !other.is_empty();
    known && (format!("{one}/").starts_with(other) || format!("{other}/").starts_with(one))
}
