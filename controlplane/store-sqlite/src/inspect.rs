use std::collections::BTreeMap;
use std::path::Path;

use controlplane_store::StateError;

use crate::meta::Meta;
use crate::{copy, file, load};

/// What a backup holds, every row of it checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The cluster whose state it is.
    pub cluster_id: String,
    /// Revision of the last change in it.
    pub revision: u64,
    /// Unix time in seconds of that change; 0 where that is not known.
    pub time: u64,
    /// The oldest revision at which the state is known.
    pub oldest_revision: u64,
    /// Unix time in seconds of that revision; 0 where it is the beginning.
    pub oldest_time: u64,
    /// The version of its tables.
    pub schema: u32,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// What there is of each resource, such as `deployments.apps`.
    pub resources: BTreeMap<String, Share>,
}

/// What one resource has in a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Objects.
    pub objects: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Versions of before.
    pub versions: u64,
    /// Bytes of those.
    pub version_bytes: u64,
}

/// Reads the backup at `path` and checks every row.
///
/// # Errors
///
/// Where it is no backup, is damaged, or is in use.
pub fn inspect(path: &Path) -> Result<Inspection, StateError> {
    let db = copy::open(path)?;
    let meta = load::read_meta(&db)?;
    let mut resources: BTreeMap<String, Share> = BTreeMap::new();
    let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    load::each_current(&db, &meta, &mut |version, _| {
        let share = resources.entry(resource_of(version.key)).or_default();
        share.objects += 1;
        share.bytes += size(version.key.len() + version.value.len());
    })?;
    load::each_past(&db, &meta, &mut |version, _, _| {
        let share = resources.entry(resource_of(version.key)).or_default();
        share.versions += 1;
        share.version_bytes += size(version.key.len() + version.value.len());
    })?;
    let file_bytes = path.metadata().map_or(0, |found| found.len());
    Ok(summary(&meta, file_bytes, resources))
}

fn summary(meta: &Meta, file_bytes: u64, resources: BTreeMap<String, Share>) -> Inspection {
    Inspection {
        cluster_id: meta.cluster_id.clone(),
        revision: meta.revision.unsigned_abs(),
        time: meta.time.unsigned_abs(),
        oldest_revision: meta.forgotten.unsigned_abs(),
        oldest_time: meta.forgotten_time.unsigned_abs(),
        schema: crate::schema::VERSION,
        file_bytes,
        resources,
    }
}

/// `deployments.apps`, or `pods` for the core group: as the views take keys apart.
fn resource_of(key: &str) -> String {
    let path = key.strip_prefix("/registry/").unwrap_or(key);
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let grouped = first.contains('.') || crate::views::PLAIN_GROUPS.contains(&first);
    match rest.split('/').next().filter(|_| grouped) {
        Some(resource) => format!("{resource}.{first}"),
        None => first.to_owned(),
    }
}

/// Whether `path` is there, for those who must not overwrite it.
pub(crate) fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok() || file::log_of(path).symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_named_as_kubectl_names_it() {
        for (key, expected) in [
            ("/registry/pods/default/web", "pods"),
            ("/registry/nodes/n1", "nodes"),
            ("/registry/apps/deployments/a/web", "deployments.apps"),
            (
                "/registry/coordination.k8s.io/leases/a/b",
                "leases.coordination.k8s.io",
            ),
        ] {
            assert_eq!(resource_of(key), expected);
        }
    }
}
