use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use tempfile::TempDir;

use super::*;
use crate::fixture::{LayerTar, folder, root_only};

fn unpacked_on(tar: &[u8], parents: &[PathBuf]) -> Result<TempDir, LayerError> {
    let into = folder();
    unpack(tar, into.path(), parents, Limits::DEFAULT).map(|_| into)
}

fn unpacked(tar: &[u8]) -> TempDir {
    unpacked_on(tar, &[]).unwrap()
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 64];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
}

#[test]
fn owners_modes_times_links_and_devices_arrive() {
    if !root_only() {
        return;
    }
    let tar = LayerTar::new()
        .dir("d/", 0o1777)
        .owned("d/suid", 0o4755, 1234)
        .link(EntryType::Link, "hard", "d/suid")
        .link(EntryType::Symlink, "soft", "/d/suid")
        .device("null", 1, 3)
        .done();
    let root = unpacked(&tar);
    let suid = fs::metadata(root.path().join("d/suid")).unwrap();
    assert_eq!(
        (suid.mode() & 0o7777, suid.uid(), suid.gid(), suid.mtime()),
        (0o4755, 1234, 1234, 1_000_000_000)
    );
    assert_eq!(fs::metadata(root.path().join("hard")).unwrap().ino(), suid.ino());
    assert_eq!(
        fs::read_link(root.path().join("soft")).unwrap(),
        Path::new("/d/suid")
    );
    let folder = fs::metadata(root.path().join("d")).unwrap();
    assert_eq!((folder.mode() & 0o7777, folder.mtime()), (0o1777, 1_000_000_000));
    assert_eq!(
        fs::metadata(root.path().join("null")).unwrap().rdev(),
        rustix::fs::makedev(1, 3)
    );
}

#[test]
fn whiteouts_and_opaque_folders_take_overlayfs_form() {
    if !root_only() {
        return;
    }
    let tar = LayerTar::new()
        .file("a/.wh.gone", "")
        .file("b/.wh..wh..opq", "")
        .file("b/new", "n")
        .done();
    let root = unpacked(&tar);
    assert!(is_whiteout(&root.path().join("a/gone")));
    assert_eq!(xattr(&root.path().join("b"), tree::OPAQUE), Some(b"y".to_vec()));
    assert!(root.path().join("b/new").exists());
    assert!(!root.path().join("b/.wh..wh..opq").exists());
}

#[test]
fn a_whiteout_hides_lower_layers_only_whatever_the_order() {
    if !root_only() {
        return;
    }
    let before = unpacked(
        &LayerTar::new()
            .file(".wh.d", "")
            .dir("d/", 0o755)
            .file("d/f", "f")
            .done(),
    );
    let after = unpacked(
        &LayerTar::new()
            .dir("d/", 0o755)
            .file("d/f", "f")
            .file(".wh.d", "")
            .done(),
    );
    let implied = unpacked(&LayerTar::new().file(".wh.d", "").file("d/f", "f").done());
    for root in [before, after, implied] {
        assert_eq!(fs::read_to_string(root.path().join("d/f")).unwrap(), "f");
        assert_eq!(xattr(&root.path().join("d"), tree::OPAQUE), Some(b"y".to_vec()));
    }
}

#[test]
fn nothing_lands_outside_the_layer() {
    if !root_only() {
        return;
    }
    let outside = folder();
    let target = outside.path().to_str().unwrap();
    let through = LayerTar::new()
        .link(EntryType::Symlink, "out", target)
        .file("out/evil", "x")
        .done();
    drop(unpacked_on(&through, &[]));
    let over = LayerTar::new()
        .link(EntryType::Symlink, "f", &format!("{target}/evil"))
        .file("f", "x")
        .done();
    drop(unpacked_on(&over, &[]));
    let climbing = LayerTar::new()
        .link(EntryType::Symlink, "up", "../../../../../..")
        .file(&format!("up{target}/evil"), "x")
        .done();
    drop(unpacked_on(&climbing, &[]));
    let linked = LayerTar::new()
        .link(EntryType::Link, "passwd", "/etc/passwd")
        .done();
    assert!(unpacked_on(&linked, &[]).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn paths_with_a_parent_step_are_refused() {
    if !root_only() {
        return;
    }
    for tar in [
        LayerTar::new().file("a/../../evil", "x").done(),
        LayerTar::new()
            .link(EntryType::Link, "l", "../../etc/passwd")
            .done(),
        LayerTar::new().file("a/.wh...", "x").done(),
    ] {
        assert!(matches!(unpacked_on(&tar, &[]), Err(LayerError::Bad { .. })));
    }
}

#[test]
fn an_implied_folder_looks_as_it_does_in_the_layer_beneath() {
    if !root_only() {
        return;
    }
    let lower = unpacked(&LayerTar::new().dir("tmp/", 0o1777).done());
    let upper = unpacked_on(
        &LayerTar::new().file("tmp/f", "x").done(),
        &[lower.path().to_owned()],
    )
    .unwrap();
    assert_eq!(
        fs::metadata(upper.path().join("tmp"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o1777
    );
}

#[test]
fn a_symlinked_folder_leads_within_the_layer() {
    if !root_only() {
        return;
    }
    let tar = LayerTar::new()
        .dir("usr/lib/", 0o755)
        .link(EntryType::Symlink, "lib", "/usr/lib")
        .file("lib/x", "x")
        .done();
    assert!(unpacked(&tar).path().join("usr/lib/x").exists());
}

#[test]
fn capabilities_are_kept_and_overlay_attributes_dropped() {
    if !root_only() {
        return;
    }
    let capability = b"\x01\0\0\x02\x0a\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = LayerTar::new()
        .xattr("security.capability", capability)
        .file("ping", "x")
        .xattr("trusted.overlay.redirect", b"/etc")
        .dir("d/", 0o755)
        .done();
    let root = unpacked(&tar);
    assert_eq!(
        xattr(&root.path().join("ping"), "security.capability"),
        Some(capability.to_vec())
    );
    assert_eq!(xattr(&root.path().join("d"), "trusted.overlay.redirect"), None);
}

#[test]
fn limits_on_bytes_and_entries_hold() {
    if !root_only() {
        return;
    }
    let tar = LayerTar::new()
        .file("a", "x")
        .file("b", "x")
        .file("c", "x")
        .done();
    for limits in [
        Limits {
            bytes: 1024,
            entries: 10,
        },
        Limits {
            bytes: 1 << 20,
            entries: 2,
        },
    ] {
        let into = folder();
        assert!(matches!(
            unpack(&tar[..], into.path(), &[], limits),
            Err(LayerError::TooLarge { .. })
        ));
    }
}
