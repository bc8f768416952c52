//! The seccomp filter, compiled once per profile and boot.
//!
//! crun compiles the profile for each container, which is a third of what a start costs in processor time.
//! It leaves the compiled filter in its state folder and takes one ready-made by an annotation
//! (crun(1), `run.oci.seccomp_bpf_data`), so what crun itself made for an equal profile is handed to it again.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::file::{read, replace_bytes};

/// crun(1): the filter in base64, used instead of the profile.
const ANNOTATION: &str = "run.oci.seccomp_bpf_data";
/// crun's file of the compiled filter, in the container's state folder.
const FILTER_FILE: &str = "seccomp.bpf";
/// crun's file that is there once `create` is through, and so the filter complete.
const STATUS_FILE: &str = "status";
/// Containers that are looked through for a filter of the same profile.
const LOOKED_THROUGH: usize = 16;
/// Bytes of one instruction, `struct sock_filter`.
const INSTRUCTION: usize = 8;
/// The most instructions the kernel takes, `BPF_MAXINSNS`.
const MOST_INSTRUCTIONS: usize = 4096;

/// Adds the compiled filter to `config`, where one is known for its profile. Without one crun compiles
/// it, as ever; so whatever fails here is no failure of the start.
pub(super) fn reuse(config: &mut Value, crun: &Path, crun_root: &Path) {
    let (Some(profile), Some(maker)) = (config.pointer("/linux/seccomp"), maker(crun)) else {
        return;
    };
    let known = known(profile, &maker, crun_root);
    let annotations = config
        .as_object_mut()
        .map(|members| members.entry("annotations").or_insert_with(|| json!({})));
    if let (Some(filter), Some(Value::Object(annotations))) = (known, annotations) {
        annotations.insert(ANNOTATION.to_owned(), json!(STANDARD.encode(filter)));
    }
}

/// What tells one build of crun from another: a newer one may know system calls that the older skipped.
fn maker(crun: &Path) -> Option<Maker> {
    let facts = fs::metadata(crun).ok()?;
    Some(Maker {
        name: format!("{}:{}:{}", crun.display(), facts.ino(), facts.mtime()),
        since: facts.ctime(),
    })
}

/// A build of crun.
struct Maker {
    name: String,
    /// When it was installed, seconds since 1970: what is older was made by another.
    since: i64,
}

/// The filter of `profile`: kept from an earlier start, or found with a container that runs.
fn known(profile: &Value, maker: &Maker, crun_root: &Path) -> Option<Vec<u8>> {
    let kept = kept_at(profile, maker, crun_root)?;
    if let Some(filter) = filter(&kept) {
        return Some(filter);
    }
    let found = fs::read_dir(crun_root)
        .ok()?
        .flatten()
        .take(LOOKED_THROUGH)
        .find_map(|entry| of_container(&entry.path(), profile, maker))?;
    keep(&kept, &found);
    Some(found)
}

/// Where the filter that `maker` made of `profile` is kept; under `/run`, so that it goes with the kernel it was made on.
fn kept_at(profile: &Value, maker: &Maker, crun_root: &Path) -> Option<PathBuf> {
    let digest = Sha256::digest(format!("{} {profile}", maker.name));
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(crun_root.parent()?.join("seccomp").join(name))
}

fn keep(path: &Path, filter: &[u8]) {
    if let Some(dir) = path.parent() {
        drop(fs::create_dir_all(dir));
    }
    // The next start finds it again where this fails.
    drop(replace_bytes(path, filter));
}

/// The filter of the container whose crun state is `dir`, where `maker` made it of `profile`.
fn of_container(dir: &Path, profile: &Value, maker: &Maker) -> Option<Vec<u8>> {
    let made = fs::metadata(dir.join(STATUS_FILE)).ok()?.mtime();
    if made <= maker.since {
        return None;
    }
    let config: Value = read(&dir.join("config.json")).ok()??;
    if config.pointer("/linux/seccomp") != Some(profile) {
        return None;
    }
    filter(&dir.join(FILTER_FILE))
}

/// A filter file that the kernel can take.
fn filter(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let whole = bytes.len().is_multiple_of(INSTRUCTION) && !bytes.is_empty();
    (whole && bytes.len() <= MOST_INSTRUCTIONS * INSTRUCTION).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(root: &Path, name: &str, config: &Value, filter: &[u8]) {
        let dir = root.join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.json"), config.to_string()).unwrap();
        fs::write(dir.join(FILTER_FILE), filter).unwrap();
        fs::write(dir.join(STATUS_FILE), "{}").unwrap();
    }

    fn reused(config: &Value, root: &Path) -> Option<Vec<u8>> {
        let mut config = config.clone();
        // Installed long ago, as crun is.
        reuse(&mut config, Path::new("/bin/sh"), root);
        let text = config.pointer("/annotations")?.get(ANNOTATION)?.as_str()?;
        Some(STANDARD.decode(text).unwrap())
    }

    #[test]
    fn only_a_filter_of_the_very_same_profile_is_used_again() {
        let run = tempfile::tempdir().unwrap();
        let root = run.path().join("crun");
        let strict = json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}});
        let loose = json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}});
        assert_eq!(reused(&strict, &root), None);
        container(&root, "a", &strict, &[7; 16]);
        assert_eq!(reused(&loose, &root), None);
        assert_eq!(reused(&strict, &root), Some(vec![7; 16]));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(reused(&strict, &root), Some(vec![7; 16]), "kept for later starts");
        assert_eq!(reused(&json!({"linux": {}}), &root), None);
    }

    #[test]
    fn a_filter_of_another_build_of_crun_is_never_used() {
        let run = tempfile::tempdir().unwrap();
        let root = run.path().join("crun");
        let config = json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}});
        container(&root, "a", &config, &[7; 16]);
        let newer = run.path().join("newer");
        fs::write(&newer, "").unwrap();
        let mut given = config.clone();
        reuse(&mut given, &newer, &root);
        assert_eq!(given.pointer("/annotations"), Some(&json!({})));
        assert_eq!(reused(&config, &root), Some(vec![7; 16]));
        reuse(&mut given, &newer, &root);
        assert_eq!(
            given.pointer("/annotations"),
            Some(&json!({})),
            "not what another has kept"
        );
    }

    #[test]
    fn a_filter_that_is_not_complete_is_never_used() {
        let run = tempfile::tempdir().unwrap();
        let root = run.path().join("crun");
        let config = json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}});
        for torn in [&[][..], &[7; 15], &[7; (MOST_INSTRUCTIONS + 1) * INSTRUCTION]] {
            container(&root, "a", &config, torn);
            assert_eq!(reused(&config, &root), None);
        }
        container(&root, "a", &config, &[7; 16]);
        fs::remove_file(root.join("a").join(STATUS_FILE)).unwrap();
        assert_eq!(reused(&config, &root), None, "crun create is still under way");
    }
}
