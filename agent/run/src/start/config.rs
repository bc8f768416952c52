//! The OCI configuration with what only the image's files tell.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::passwd::{self, Ids};
use super::{StartError, capabilities, devices, seccomp};
use crate::by_name::Fifos;
use crate::file::{read, replace};
use crate::launch::{BUNDLE_FILE, CONFIG_FILE, Launch};

/// Writes `config.json`: the agent's configuration with root path and user filled in.
pub(super) fn write(
    dir: &Path,
    launch: &Launch,
    rootfs: &Path,
    fifos: Option<&Fifos>,
) -> Result<(), StartError> {
    let bundle = dir.join(BUNDLE_FILE);
    let mut config: Value = read(&bundle)?.ok_or(StartError::NoLaunch(bundle))?;
    let ids = passwd::resolve(rootfs, &launch.user)?;
    fill(&mut config, rootfs, &ids);
    if let Some(process) = config.get_mut("process") {
        capabilities::limit(process, capabilities::bounding());
    }
    if let Some(fifos) = fifos {
        fifos.mount(&mut config);
    }
    seccomp::reuse(&mut config, &launch.crun, &launch.crun_root);
    if launch.host_devices {
        devices::add(&mut config);
    }
    make_working_dir(rootfs, &config)?;
    Ok(replace(&dir.join(CONFIG_FILE), &config)?)
}

fn fill(config: &mut Value, rootfs: &Path, ids: &Ids) {
    if let Some(root) = config.get_mut("root").and_then(Value::as_object_mut) {
        root.insert("path".into(), json!(rootfs));
    }
    if let Some(process) = config.get_mut("process").and_then(Value::as_object_mut) {
        let user = json!({"uid": ids.uid, "gid": ids.gid, "additionalGids": ids.groups});
        process.insert("user".into(), user);
    }
}

/// Kubernetes makes a working directory that the image lacks; a path that leaves the root is
/// crun's to refuse.
fn make_working_dir(rootfs: &Path, config: &Value) -> Result<(), StartError> {
    let Some(cwd) = config.pointer("/process/cwd").and_then(Value::as_str) else {
        return Ok(());
    };
    let root = passwd::open_root(rootfs)?;
    if passwd::open_in_root(&root, cwd, rustix::fs::OFlags::PATH).is_ok() {
        return Ok(());
    }
    let plain = Path::new(cwd)
        .components()
        .all(|c| matches!(c, std::path::Component::RootDir | std::path::Component::Normal(_)));
    // Only below folders that are no links: everything else crun resolves within the root itself.
    let mut reached = rootfs.to_owned();
    for part in Path::new(cwd.trim_start_matches('/')).components() {
        reached.push(part);
        let link = fs::symlink_metadata(&reached).is_ok_and(|m| m.is_symlink());
        if !plain || link {
            return Ok(());
        }
    }
    fs::create_dir_all(&reached).map_err(StartError::io("create", &reached))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_root_are_filled_in_and_the_rest_stays() {
        let mut config =
            json!({"process": {"args": ["a"], "user": {"uid": 7}}, "root": {"path": "", "readonly": true}});
        fill(
            &mut config,
            Path::new("/r"),
            &Ids {
                uid: 1,
                gid: 2,
                groups: vec![3],
            },
        );
        let user = json!({"uid": 1, "gid": 2, "additionalGids": [3]});
        assert_eq!(
            config,
            json!({"process": {"args": ["a"], "user": user}, "root": {"path": "/r", "readonly": true}})
        );
    }
}
