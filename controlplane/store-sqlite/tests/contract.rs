//! The claims of every store, on SQLite without a log before it.
#![expect(clippy::expect_used, reason = "a test that cannot be set up must stop")]

use controlplane_store::contract::Disk;
use controlplane_store::{Options, Store};
use controlplane_store_sqlite::SqliteState;
use tempfile::TempDir;

/// A store file in a folder of its own.
struct File(TempDir);

impl File {
    fn fresh() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }
}

impl Disk for File {
    async fn open(&self, options: Options) -> Store {
        let mut state = SqliteState::open(&self.0.path().join("store.db")).expect("the state opens");
        // Few enough to be filled by the claim about a full disk, enough for all others.
        state.limit_pages(4000).expect("the limit is taken");
        Store::open(state, options).expect("the store opens")
    }

    /// The file is limited from the start.
    fn fill(&self) {}

    /// Deleting values makes room in a file whose pages are limited.
    fn make_room(&self) {}
}

controlplane_store::contract_tests!(File::fresh());
