use std::collections::BTreeSet;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::fixture::{LayerTar, Layout, folder, gzip, plain, root_only, zstd};
use crate::manifest::architecture;

fn store() -> (TempDir, ImageStore) {
    let dir = folder();
    let store = ImageStore::open(dir.path().join("images")).unwrap();
    (dir, store)
}

fn layer(name: &str) -> Vec<u8> {
    LayerTar::new().file(name, name).done()
}

fn entries(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[test]
fn a_loaded_image_is_found_by_every_spelling_of_its_name() {
    if !root_only() {
        return;
    }
    let (_dir, store) = store();
    let layout = Layout::new().image("docker.io/library/demo:1", &[layer("a"), layer("b")]);
    let loaded = store.load(layout.path()).unwrap();
    assert_eq!(loaded[0].reference, "docker.io/library/demo:1");
    let image = store.resolve("demo:1").unwrap().unwrap();
    assert_eq!(image.id, loaded[0].id);
    assert_eq!(image.layers.len(), 2);
    assert!(image.layers[0].join("a").exists() && image.layers[1].join("b").exists());
    assert_eq!(image.layers[0].file_name().unwrap().len(), 12);
    assert_eq!(
        image.config.config().as_ref().unwrap().cmd().as_ref().unwrap(),
        &["/bin/true"]
    );
    for spelling in ["docker.io/demo:1", &image.id, &image.repo_digests[0]] {
        assert_eq!(
            store.resolve(spelling).unwrap().unwrap().id,
            image.id,
            "{spelling}"
        );
    }
    assert_eq!(store.resolve("demo:2").unwrap(), None);
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn folder_tar_and_compressed_tar_load_alike() {
    if !root_only() {
        return;
    }
    for pack in [plain, gzip, zstd] {
        let (_dir, store) = store();
        let layout = Layout::new();
        let descriptor = layout.manifest(architecture(), &[layer("a")], pack);
        let layout = layout.list(descriptor, Some("demo"));
        store.load(&layout.tar(pack)).unwrap();
        assert!(
            store.resolve("demo").unwrap().unwrap().layers[0]
                .join("a")
                .exists()
        );
        assert_eq!(entries(&store.scratch()), 0);
    }
}

#[test]
fn what_docker_save_writes_loads() {
    if !root_only() {
        return;
    }
    let (dir, store) = store();
    let tar = layer("a");
    let config = json!({"architecture": architecture(), "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest::of(&tar), digest::of(&tar)]}});
    let manifest =
        json!([{"Config": "c.json", "RepoTags": ["demo:old"], "Layers": ["x/layer.tar", "y/layer.tar"]}]);
    let mut builder = tar::Builder::new(fs::File::create(dir.path().join("saved.tar")).unwrap());
    for (name, data) in [
        ("c.json", config.to_string().into_bytes()),
        ("x/layer.tar", tar),
        ("manifest.json", manifest.to_string().into_bytes()),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, name, &data[..]).unwrap();
    }
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "y/layer.tar", "../x/layer.tar")
        .unwrap();
    builder.finish().unwrap();
    store.load(&dir.path().join("saved.tar")).unwrap();
    assert_eq!(store.resolve("demo:old").unwrap().unwrap().layers.len(), 2);
}

#[test]
fn the_platform_of_this_machine_is_chosen_from_a_nested_index() {
    if !root_only() {
        return;
    }
    let (_dir, store) = store();
    let layout = Layout::new();
    let mut other = layout.manifest("riscv64", &[layer("wrong")], gzip);
    other["platform"] = json!({"os": "linux", "architecture": "riscv64"});
    let mut own = layout.manifest(architecture(), &[layer("right")], gzip);
    own["platform"] = json!({"os": "linux", "architecture": architecture()});
    let index = json!({"schemaVersion": 2, "manifests": [other, own]}).to_string();
    let listed = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "size": index.len(), "digest": layout.blob(index.as_bytes())});
    let layout = layout.list(listed, Some("demo"));
    store.load(layout.path()).unwrap();
    assert!(
        store.resolve("demo").unwrap().unwrap().layers[0]
            .join("right")
            .exists()
    );
}

#[test]
fn an_image_for_another_machine_is_refused_with_what_there_is() {
    let (_dir, store) = store();
    let layout = Layout::new();
    let descriptor = layout.manifest("riscv64", &[layer("a")], gzip);
    let error = store
        .load(layout.list(descriptor, Some("demo")).path())
        .unwrap_err();
    assert!(error.to_string().contains("only for linux/riscv64"), "{error}");
}

#[test]
fn a_changed_byte_is_noticed_and_nothing_is_kept() {
    if !root_only() {
        return;
    }
    let (_dir, store) = store();
    let layout = Layout::new().image("demo", &[layer("a"), layer("b")]);
    let packed = gzip(&layer("b"));
    let blob = layout
        .path()
        .join("blobs/sha256")
        .join(digest::hex(&digest::of(&packed)).unwrap());
    fs::write(blob, gzip(&layer("c"))).unwrap();
    assert!(matches!(
        store.load(layout.path()),
        Err(ImageError::DigestMismatch { .. })
    ));
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(
        (entries(store.layers.folder()), entries(&store.scratch())),
        (0, 0)
    );
}

#[test]
fn what_a_load_that_was_cut_off_left_is_gone_after_open() {
    if !root_only() {
        return;
    }
    let (_dir, store) = store();
    fs::create_dir_all(store.scratch().join("load-x/0/etc")).unwrap();
    fs::create_dir_all(store.layers.path("0123456789ab")).unwrap();
    ImageStore::open(&store.root).unwrap();
    assert_eq!(
        (entries(store.layers.folder()), entries(&store.scratch())),
        (0, 0)
    );
}

#[test]
fn loads_at_the_same_time_all_succeed_and_share_layers() {
    if !root_only() {
        return;
    }
    let (_dir, store) = store();
    let names = ["one", "two", "three", "four"];
    std::thread::scope(|scope| {
        for name in names {
            let store = ImageStore::open(&store.root).unwrap();
            scope.spawn(move || {
                let layout = Layout::new().image(name, &[layer("base"), layer(name)]);
                store.load(layout.path()).unwrap();
            });
        }
    });
    let bases: BTreeSet<_> = names
        .iter()
        .map(|n| store.resolve(n).unwrap().unwrap().layers[0].clone())
        .collect();
    assert_eq!(bases.len(), 1);
    assert_eq!(store.layers.all().unwrap().len(), 5);
}

#[test]
fn collect_keeps_what_is_named_or_in_use() {
    if !root_only() {
        return;
    }
    let (_dir, store) = store();
    for name in ["kept", "running", "gone"] {
        store
            .load(Layout::new().image(name, &[layer("base"), layer(name)]).path())
            .unwrap();
    }
    let running = store.resolve("running").unwrap().unwrap().id;
    assert!(store.remove("running").unwrap() && store.remove("gone").unwrap());
    assert!(!store.remove("gone").unwrap());
    assert!(store.collect(&BTreeSet::from([running.clone()])).unwrap() > 0);
    assert_eq!(store.layers.all().unwrap().len(), 3);
    assert!(
        store
            .resolve(&running)
            .unwrap()
            .unwrap()
            .layers
            .iter()
            .all(|l| l.is_dir())
    );
    assert_eq!(store.list().unwrap().len(), 2);
}

#[test]
fn an_image_that_was_loaded_without_a_name_is_kept_from_eviction_and_open_to_all() {
    if !root_only() {
        return;
    }
    let (_dir, store) = store();
    let layout = Layout::new();
    let descriptor = layout.manifest(architecture(), &[layer("a")], gzip);
    let loaded = store.load(layout.list(descriptor, None).path()).unwrap();
    assert_eq!(loaded[0].reference, loaded[0].id);
    let image = store.resolve(&loaded[0].id).unwrap().unwrap();
    assert!(image.pinned && store.is_open_to(&image.id, &Keyring::default()).unwrap());
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    if !root_only() {
        return;
    }
    let dir = folder();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(dir.path())
        .status();
    if !mounted.is_ok_and(|s| s.success()) {
        println!("skipped: cannot mount a small tmpfs");
        return;
    }
    let _mount = Unmount(dir.path().to_owned());
    let store = ImageStore::open(dir.path()).unwrap();
    let big = LayerTar::new().file("big", &"x".repeat(1 << 20)).done();
    let error = store
        .load(Layout::new().image("demo", &[big]).path())
        .unwrap_err();
    assert!(matches!(error, ImageError::DiskFull { .. }), "{error:?}");
    assert_eq!(
        (entries(store.layers.folder()), entries(&store.scratch())),
        (0, 0)
    );
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}
