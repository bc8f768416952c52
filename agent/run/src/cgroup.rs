//! Moving this process into another's cgroup.

use std::fs;
use std::path::{Path, PathBuf};

use crate::IoError;

/// One membership: a line of `/proc/<pid>/cgroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Membership {
    controllers: String,
    path: String,
}

/// Moves this process into every cgroup of process `pid`: one on cgroup v2, one a hierarchy on v1.
/// Hierarchies of resource controllers that are read-only here are left out; systemd's own is not.
///
/// # Errors
///
/// Where the process is gone, or systemd's hierarchy refuses.
pub fn enter_cgroup(pid: u32) -> Result<(), IoError> {
    let root = Path::new("/sys/fs/cgroup");
    let own = memberships(Path::new("/proc/self/cgroup"))?;
    for target in memberships(&PathBuf::from(format!("/proc/{pid}/cgroup")))? {
        if own.contains(&target) {
            continue;
        }
        let procs = folder(root, &target).join("cgroup.procs");
        let moved = fs::write(&procs, "0");
        if systemds(&target)
            && let Err(source) = moved
            && procs.exists()
        {
            return Err(IoError::at("enter", &procs)(source));
        }
    }
    Ok(())
}

/// Whether systemd itself keeps its units there.
fn systemds(membership: &Membership) -> bool {
    matches!(membership.controllers.as_str(), "" | "name=systemd")
}

fn memberships(path: &Path) -> Result<Vec<Membership>, IoError> {
    let text = fs::read_to_string(path).map_err(IoError::at("read", path))?;
    Ok(text.lines().filter_map(membership).collect())
}

fn membership(line: &str) -> Option<Membership> {
    let mut parts = line.splitn(3, ':').skip(1);
    let controllers = parts.next()?.to_owned();
    Some(Membership {
        controllers,
        path: parts.next()?.to_owned(),
    })
}

/// Where a membership's folder is mounted under `root`.
fn folder(root: &Path, membership: &Membership) -> PathBuf {
    let hierarchy = match membership.controllers.as_str() {
        "" if root.join("unified").is_dir() => root.join("unified"),
        "" => root.to_owned(),
        other => root.join(other.trim_start_matches("name=")),
    };
    hierarchy.join(membership.path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_of_both_versions_are_found_under_the_root() {
        let root = Path::new("/nowhere");
        let folder = |line| folder(root, &membership(line).unwrap());
        assert_eq!(
            folder("0::/floe.slice/a:b.service"),
            Path::new("/nowhere/floe.slice/a:b.service")
        );
        assert_eq!(
            folder("3:name=systemd:/a.service"),
            Path::new("/nowhere/systemd/a.service")
        );
        assert_eq!(folder("4:cpu,cpuacct:/"), Path::new("/nowhere/cpu,cpuacct/"));
    }
}
