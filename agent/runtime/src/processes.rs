//! What the kernel shows of the processes of a container that runs.

use std::fs;
use std::path::{Path, PathBuf};

use agent_run::PID_FILE;
use agent_systemd::UnitName;

use crate::NodePaths;

/// Where the kernel shows the process namespace of a container; `None` where it does not run.
///
/// The process that the container's file names must be in `unit`'s cgroup: its number may be another's by now.
#[must_use]
pub fn process_namespace(paths: &NodePaths, uid: &str, container: &str, unit: &UnitName) -> Option<PathBuf> {
    let (process, cgroups) = process(paths, uid, container)?;
    is_in(&cgroups, unit).then(|| process.join("ns/pid"))
}

/// Bytes of memory that the processes in `unit` of a container use; `None` where it does not run, and with cgroup v1,
/// which enforces no limit here.
#[must_use]
pub fn memory_in_use(paths: &NodePaths, uid: &str, container: &str, unit: &UnitName) -> Option<u64> {
    let (_, cgroups) = process(paths, uid, container)?;
    let cgroup = Path::new("/sys/fs/cgroup").join(unified(&cgroups, unit)?);
    let text = fs::read_to_string(cgroup.join("memory.current")).ok()?;
    text.trim().parse().ok()
}

/// Where the kernel shows the process that the container's file names, and the cgroups that it is in.
fn process(paths: &NodePaths, uid: &str, container: &str) -> Option<(PathBuf, String)> {
    let file = paths.container_dir(uid, container).join(PID_FILE);
    let pid: u32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let process = PathBuf::from("/proc").join(pid.to_string());
    let cgroups = fs::read_to_string(process.join("cgroup")).ok()?;
    Some((process, cgroups))
}

/// The path of `unit` in the one hierarchy of cgroup v2, beneath its root.
fn unified(cgroups: &str, unit: &UnitName) -> Option<String> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let parts: Vec<&str> = path.split('/').collect();
    let own = parts.iter().position(|part| *part == unit.as_str())?;
    Some(parts.get(..=own)?.join("/"))
}

/// Whether one of the cgroups that `/proc/<pid>/cgroup` lists is `unit`'s, or beneath it.
fn is_in(cgroups: &str, unit: &UnitName) -> bool {
    let paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths
        .flat_map(|path| path.split('/'))
        .any(|part| part == unit.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_only_in_the_units_own_cgroup() {
        let unit = UnitName::parse("floe-default:web:1a2b3c4d:app.service").unwrap();
        let slice = "floe.slice/floe-pods.slice/floe-pods-default:web:1a2b3c4d.slice";
        assert!(is_in(&format!("0::/{slice}/{unit}\n"), &unit));
        assert!(is_in(
            &format!("1:name=systemd:/{slice}/{unit}/sub\n0::/\n"),
            &unit
        ));
        assert!(!is_in(
            &format!("0::/{slice}/floe-default:web:1a2b3c4d:apps.service\n"),
            &unit
        ));
        assert!(!is_in("0::/init.scope\n", &unit));
    }

    #[test]
    fn memory_is_the_units_own_not_that_of_a_cgroup_beneath() {
        let unit = UnitName::parse("floe-default:web:1a2b3c4d:app.service").unwrap();
        let beneath = format!("1:name=systemd:/x\n0::/floe.slice/{unit}/payload\n");
        assert_eq!(unified(&beneath, &unit), Some(format!("floe.slice/{unit}")));
        assert_eq!(unified("0::/\n", &unit), None);
    }

    #[test]
    fn a_container_without_a_process_has_no_namespace() {
        let dir = tempfile::tempdir().unwrap();
        let paths = NodePaths {
            run_dir: dir.path().into(),
            state_dir: dir.path().into(),
            floe_run: "/f".into(),
            crun: "/c".into(),
        };
        let unit = UnitName::parse("floe-a.service").unwrap();
        assert_eq!(process_namespace(&paths, "u", "c", &unit), None);
        let folder = paths.container_dir("u", "c");
        fs::create_dir_all(&folder).unwrap();
        // This very process is in another cgroup.
        fs::write(folder.join(PID_FILE), std::process::id().to_string()).unwrap();
        assert_eq!(process_namespace(&paths, "u", "c", &unit), None);
    }
}
