//! The claims of every store, on SQLite.
#![expect(clippy::expect_used, reason = "a test that cannot be set up must stop")]

use controlplane_store::contract::Disk;
use controlplane_store_sqlite::SqliteDurability;
use tempfile::TempDir;

/// A store file in a folder of its own.
struct File(TempDir);

impl File {
    fn fresh() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }
}

impl Disk for File {
    type Durability = SqliteDurability;

    fn open(&self) -> SqliteDurability {
        SqliteDurability::open(&self.0.path().join("store.db")).expect("the store opens")
    }

    /// Deleting values makes room in a file whose pages are limited, so `make_room` has nothing to do.
    fn open_almost_full(&self) -> SqliteDurability {
        let mut durability = self.open();
        durability.limit_pages(64).expect("the limit is taken");
        durability
    }
}

controlplane_store::contract_tests!(File::fresh());
