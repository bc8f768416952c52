use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use agent_core::env::{TokenWish, Tokens};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde_json::json;

use super::*;

#[derive(Default)]
struct World {
    pod: Pod,
    config_maps: BTreeMap<String, ConfigMap>,
    secrets: BTreeMap<String, Secret>,
    allocatable: BTreeMap<String, u64>,
    tokens: Tokens,
}

impl World {
    fn new() -> Self {
        let pod = json!({ "metadata": { "name": "web-0", "uid": "u1", "labels": { "app": "web" } } });
        Self {
            pod: serde_json::from_value(pod).unwrap(),
            ..Self::default()
        }
    }

    fn config_map(mut self, name: &str, data: &[(&str, &str)]) -> Self {
        let data = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        self.config_maps.insert(
            name.to_owned(),
            ConfigMap {
                data: Some(data),
                ..ConfigMap::default()
            },
        );
        self
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            pod: &self.pod,
            pod_ips: &[],
            host_ips: &[],
            allocatable: &self.allocatable,
            config_maps: &self.config_maps,
            secrets: &self.secrets,
            services: &[],
            tokens: &self.tokens,
        }
    }
}

fn volume(source: serde_json::Value) -> Volume {
    let mut object = json!({ "name": "v" });
    object
        .as_object_mut()
        .unwrap()
        .extend(source.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

fn folder() -> (tempfile::TempDir, Volumes) {
    let folder = tempfile::tempdir().unwrap();
    let volumes = Volumes::new(&folder.path().join("run"), &folder.path().join("state"));
    (folder, volumes)
}

#[test]
fn a_changed_config_map_replaces_every_file_by_one_swap() {
    let (_folder, volumes) = folder();
    let wanted = volume(json!({ "configMap": { "name": "c" } }));
    let first = World::new().config_map("c", &[("a", "1"), ("b", "1")]);
    let path = volumes.prepare(&wanted, &first.sources()).unwrap();
    let before = std::fs::read_link(path.join("..data")).unwrap();
    assert_eq!(
        std::fs::read_link(path.join("a")).unwrap().to_str(),
        Some("..data/a")
    );
    let second = World::new().config_map("c", &[("a", "2"), ("c", "2")]);
    volumes.prepare(&wanted, &second.sources()).unwrap();
    assert_ne!(std::fs::read_link(path.join("..data")).unwrap(), before);
    assert_eq!(std::fs::read_to_string(path.join("a")).unwrap(), "2");
    assert_eq!(std::fs::read_to_string(path.join("c")).unwrap(), "2");
    assert!(!path.join("b").exists() && !path.join("b").is_symlink());
    assert!(!path.join(before).exists(), "the old version was kept");
}

#[test]
fn an_unchanged_volume_is_not_touched() {
    let (_folder, volumes) = folder();
    let wanted = volume(json!({ "configMap": { "name": "c" } }));
    let world = World::new().config_map("c", &[("a", "1")]);
    let path = volumes.prepare(&wanted, &world.sources()).unwrap();
    let before = std::fs::read_link(path.join("..data")).unwrap();
    volumes.prepare(&wanted, &world.sources()).unwrap();
    assert_eq!(std::fs::read_link(path.join("..data")).unwrap(), before);
}

#[test]
fn a_version_left_half_written_is_replaced() {
    let (_folder, volumes) = folder();
    let wanted = volume(json!({ "configMap": { "name": "c" } }));
    let world = World::new().config_map("c", &[("a", "1")]);
    let path = volumes.projected_path("u1", "v");
    std::fs::create_dir_all(path.join("..version_a/junk")).unwrap();
    std::os::unix::fs::symlink("/etc", path.join("..data_tmp")).unwrap();
    volumes.prepare(&wanted, &world.sources()).unwrap();
    assert_eq!(std::fs::read_to_string(path.join("a")).unwrap(), "1");
    assert!(!path.join("..version_a/junk").exists());
    assert!(
        std::path::Path::new("/etc/passwd").exists(),
        "a link was followed"
    );
}

#[test]
fn modes_are_the_items_then_the_volumes() {
    let (_folder, volumes) = folder();
    let items = json!([{ "key": "a", "path": "deep/a", "mode": 0o400 }, { "key": "b", "path": "b" }]);
    let wanted = volume(json!({ "configMap": { "name": "c", "defaultMode": 0o640, "items": items } }));
    let world = World::new().config_map("c", &[("a", "1"), ("b", "2")]);
    let path = volumes.prepare(&wanted, &world.sources()).unwrap();
    let mode = |name: &str| std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("deep/a"), mode("b")), (0o400, 0o640));
}

#[test]
fn only_what_is_optional_may_be_missing() {
    let world = World::new();
    let missing = |source| {
        payload(&volume(source), &world.sources())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        missing(json!({ "configMap": { "name": "c" } })),
        "configmap \"c\" not found"
    );
    assert_eq!(
        missing(json!({ "secret": { "secretName": "s" } })),
        "secret \"s\" not found"
    );
    let optional = volume(json!({ "configMap": { "name": "c", "optional": true } }));
    assert!(payload(&optional, &world.sources()).unwrap().is_empty());
}

#[test]
fn no_path_leaves_the_volume() {
    let world = World::new().config_map("c", &[("a", "1")]);
    for path in ["../a", "/a", "a/../../b", "..data", "..x", "", "a/../b"] {
        let items = json!([{ "key": "a", "path": path }]);
        let wanted = volume(json!({ "configMap": { "name": "c", "items": items } }));
        let refused = payload(&wanted, &world.sources());
        assert!(
            matches!(refused, Err(VolumeError::Path { .. })),
            "{path}: {refused:?}"
        );
    }
}

#[test]
fn a_projected_volume_joins_its_sources() {
    let world = World::new().config_map("c", &[("a", "1")]);
    let downward = json!([{ "path": "name", "fieldRef": { "fieldPath": "metadata.name" } }]);
    let sources = json!([{ "configMap": { "name": "c" } }, { "downwardAPI": { "items": downward } }]);
    let files = payload(
        &volume(json!({ "projected": { "sources": sources } })),
        &world.sources(),
    )
    .unwrap();
    let text = |name: &str| String::from_utf8(files[name].bytes.clone()).unwrap();
    assert_eq!((text("a"), text("name")), ("1".to_owned(), "web-0".to_owned()));
}

#[test]
fn a_host_path_of_another_type_is_refused() {
    let (folder, volumes) = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let world = World::new();
    let host = |path: &Path, kind: &str| volume(json!({ "hostPath": { "path": path, "type": kind } }));
    let refused = volumes.prepare(&host(&file, "Directory"), &world.sources());
    assert!(
        matches!(
            refused,
            Err(VolumeError::HostPathType {
                expected: "directory",
                ..
            })
        ),
        "{refused:?}"
    );
    let made = volumes.prepare(
        &host(&folder.path().join("new"), "DirectoryOrCreate"),
        &world.sources(),
    );
    assert!(made.unwrap().is_dir());
    assert!(
        volumes
            .prepare(&host(&folder.path().join("none"), ""), &world.sources())
            .is_ok()
    );
}

#[test]
fn an_empty_dir_is_open_to_the_pod_and_closed_above() {
    let (_folder, volumes) = folder();
    let path = volumes
        .prepare(&volume(json!({ "emptyDir": {} })), &World::new().sources())
        .unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o777, 0o700));
}

#[test]
fn a_token_is_the_one_that_was_wished_for_and_a_groups_alone_where_there_is_one() {
    let mut world = World::new();
    let source = json!({ "path": "vault/token", "audience": "vault", "expirationSeconds": 600 });
    let volume = volume(json!({ "projected": { "sources": [{ "serviceAccountToken": source }] } }));
    let missing = payload(&volume, &world.sources()).unwrap_err();
    assert!(matches!(missing, VolumeError::TokenMissing(_)), "{missing}");
    let wish = TokenWish {
        audience: Some("vault".to_owned()),
        seconds: 600,
    };
    world.tokens.insert(wish, "ey.x.y".to_owned());
    let file = payload(&volume, &world.sources()).unwrap();
    assert_eq!(
        (&file["vault/token"].bytes[..], file["vault/token"].mode),
        (&b"ey.x.y"[..], 0o644)
    );
    let spec = json!({ "containers": [], "securityContext": { "fsGroup": 7 } });
    world.pod.spec = serde_json::from_value(spec).unwrap();
    let file = payload(&volume, &world.sources()).unwrap();
    assert_eq!(file["vault/token"].mode, 0o600);
}
