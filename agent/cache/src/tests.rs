use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("agent/pods.db")
    }

    fn open(&self) -> PodCache {
        PodCache::open(&self.path()).unwrap()
    }
}

fn pods(cache: &PodCache) -> Vec<Value> {
    cache.all(Kind::Pod)
}

#[test]
fn what_was_kept_is_there_after_a_restart_and_the_last_word_counts() {
    let place = Place::new();
    {
        let cache = place.open();
        for phase in ["Pending", "Running"] {
            cache.keep("a", Kind::Pod, "web", &json!({"phase": phase}));
        }
        cache.keep("a", Kind::Secret, "login", &json!({"word": "x"}));
        cache.keep("b", Kind::Pod, "gone", &json!({}));
        cache.forget("b");
    }
    let cache = place.open();
    assert_eq!(pods(&cache), [json!({"phase": "Running"})]);
    assert_eq!(
        cache.get::<Value>("a", Kind::Secret, "login"),
        Some(json!({"word": "x"}))
    );
    assert_eq!(cache.get::<Value>("a", Kind::ConfigMap, "login"), None);
}

#[test]
fn pods_that_are_not_retained_are_forgotten_with_all_they_have() {
    let place = Place::new();
    {
        let cache = place.open();
        for uid in ["a", "b"] {
            cache.keep(uid, Kind::Pod, "p", &json!(uid));
            cache.keep(uid, Kind::Secret, "s", &json!(uid));
        }
        cache.keep(NODE, Kind::Service, "default", &json!(["dns"]));
        cache.retain(&BTreeSet::from(["a".to_owned()]));
    }
    let cache = place.open();
    assert_eq!(pods(&cache), [json!("a")]);
    assert_eq!(cache.all::<Value>(Kind::Secret), [json!("a")]);
    assert_eq!(cache.all::<Value>(Kind::Service), [json!(["dns"])]);
}

#[test]
fn services_of_namespaces_without_pods_are_forgotten() {
    let place = Place::new();
    {
        let cache = place.open();
        for namespace in ["shop", "gone"] {
            cache.keep(NODE, Kind::Service, namespace, &json!([namespace]));
        }
        cache.keep(
            "a",
            Kind::ConfigMap,
            "gone",
            &json!("a namespace's name is no other's"),
        );
        cache.retain_services(&BTreeSet::from(["shop".to_owned()]));
    }
    let cache = place.open();
    assert_eq!(cache.all::<Value>(Kind::Service), [json!(["shop"])]);
    assert_eq!(cache.all::<Value>(Kind::ConfigMap).len(), 1);
}

#[test]
fn every_file_is_for_root_alone() {
    let place = Place::new();
    let cache = place.open();
    cache.keep("a", Kind::Secret, "s", &json!("hush"));
    let files = || {
        let listed = std::fs::read_dir(place.0.path().join("agent")).unwrap();
        listed.map(|entry| entry.unwrap()).collect::<Vec<_>>()
    };
    assert!(!files().is_empty());
    for entry in files() {
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn a_secret_that_was_forgotten_is_not_left_in_the_file() {
    let place = Place::new();
    {
        let cache = place.open();
        cache.keep("a", Kind::Secret, "s", &json!("hush-1234"));
    }
    place.open().forget("a");
    drop(place.open());
    let bytes = std::fs::read(place.path()).unwrap();
    let found = bytes.windows(9).any(|part| part == b"hush-1234");
    assert!(!found, "the secret is still in the file");
}

#[test]
fn a_damaged_file_is_set_aside() {
    let place = Place::new();
    std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    std::fs::write(place.path(), "this is no database, whatever its name says").unwrap();
    {
        let cache = place.open();
        assert!(pods(&cache).is_empty());
        cache.keep("a", Kind::Pod, "p", &json!(1));
    }
    assert_eq!(pods(&place.open()), [json!(1)]);
    assert!(place.path().with_extension("db.damaged").exists());
}

#[test]
fn the_log_of_a_damaged_file_goes_with_it_and_is_not_the_new_ones() {
    let place = Place::new();
    place.open().keep("a", Kind::Pod, "p", &json!(1));
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", place.path().display()));
    std::fs::write(beside("-wal"), "the log").unwrap();
    std::fs::write(beside(".damaged-wal"), "an older log").unwrap();
    Database::set_aside(&place.path()).unwrap();
    assert_eq!(std::fs::read(beside(".damaged-wal")).unwrap(), b"the log");
    assert!(beside(".damaged").exists());
    assert!(!beside("-wal").exists());
    assert!(pods(&place.open()).is_empty());
}

#[test]
fn a_locked_file_is_refused_and_stays_where_it_is() {
    let place = Place::new();
    place.open().keep("a", Kind::Pod, "p", &json!(1));
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other
        .execute_batch(
            "PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE; DELETE FROM rows WHERE uid = 'b'; COMMIT",
        )
        .unwrap();
    let refused = PodCache::open(&place.path()).unwrap_err();
    assert!(matches!(refused, CacheError::Open { .. }), "{refused:?}");
    assert!(!place.path().with_extension("db.damaged").exists());
    drop(other);
    assert_eq!(pods(&place.open()), [json!(1)]);
}

#[test]
fn what_a_full_disk_refused_is_written_when_there_is_space() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting a small file system needs root");
        return;
    }
    let place = Place::new();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", place.0.path(), "tmpfs", flags, c"size=256k").unwrap();
    let cache = place.open();
    let filler = place.0.path().join("filler");
    std::fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
    cache.keep("a", Kind::Pod, "p", &json!("x".repeat(50_000)));
    let since = std::time::Instant::now();
    while !cache.shared.lock().refused {
        assert!(since.elapsed().as_secs() < 10, "a full disk took it");
        std::thread::yield_now();
    }
    std::fs::remove_file(&filler).unwrap();
    drop(cache);
    let kept = pods(&place.open()).len();
    rustix::mount::unmount(place.0.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(kept, 1);
}
