//! Floe's store, in this process, as the API server has it in its own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use controlplane_raft::{Drive, NoNetwork, Origin, Peer, Server, Setup, Tuning};
use controlplane_store::{Key, Op, Options, Outcome, Range, State, Store, Txn, Value};
use controlplane_store_sqlite::SqliteState;
use controlplane_wal::{RealDisk, Wal};

use crate::target::{self, PREFIX, Target};

/// A handle of the store.
#[derive(Debug, Clone)]
pub(crate) struct Floe {
    store: Store,
    /// Stopped by the handle that closes.
    server: Arc<Mutex<Option<Server>>>,
    /// Values by their size.
    values: Arc<Mutex<BTreeMap<usize, Value>>>,
}

impl Floe {
    /// Opens the store in `folder`.
    ///
    /// # Errors
    ///
    /// Fails where the store cannot be opened.
    pub(crate) async fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut state = SqliteState::open(&folder.join("store.db"))?;
        let loaded = state.load()?;
        let (log, _) = Wal::open(
            RealDisk::open(&folder.join("log"))?,
            controlplane_wal::Options::default(),
        )?;
        let server = Server::start(Setup {
            id: 1,
            peer: Peer::default(),
            log,
            state,
            loaded,
            transport: Arc::new(NoNetwork),
            folder: folder.join("snapshots"),
            options: Options::default(),
            tuning: Tuning::default(),
            room: None,
            drive: Drive::Threads,
            origin: Origin::Found,
        })
        .await?;
        Ok(Self {
            store: server.store().clone(),
            server: Arc::new(Mutex::new(Some(server))),
            values: Arc::default(),
        })
    }

    /// A value whose bytes are its own, as each is that came over a connection.
    fn value(&self, bytes: usize) -> Result<Value> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match values.entry(bytes) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(free) => free.insert(Value::encode(&target::value(bytes))?),
        };
        Ok(Value::new(made.bytes(), made.splice())?)
    }
}

impl Target for Floe {
    type Watch = controlplane_store::Watch;

    async fn put(&self, name: &str, bytes: usize) -> Result<()> {
        let put = Op::Put {
            key: Key::parse(&format!("{PREFIX}{name}"))?,
            value: self.value(bytes)?,
            expires_at: None,
        };
        let txn = Txn {
            ops: vec![put],
            ..Txn::default()
        };
        match self.store.commit(txn).await? {
            Outcome::Committed { .. } => Ok(()),
            Outcome::Refused { .. } => bail!("a write without condition was refused"),
        }
    }

    async fn range(&self, limit: usize) -> Result<(usize, usize)> {
        let range = Range {
            limit: Some(limit),
            ..Range::prefix(PREFIX)
        };
        let listing = self.store.list(&range)?;
        // As an answer to a client: every object with its revision in one buffer.
        let mut answer = Vec::new();
        for entry in &listing.entries {
            entry.value.write_with(entry.mod_revision, &mut answer);
        }
        Ok((listing.entries.len(), answer.len()))
    }

    async fn watch(&self) -> Result<Self::Watch> {
        Ok(self.store.watch(PREFIX, self.store.revision())?)
    }

    fn client(&self, _index: usize) -> Self {
        self.clone()
    }

    async fn close(self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.stop().await;
        }
    }
}

impl target::Watch for controlplane_store::Watch {
    async fn next(&mut self) -> Result<usize> {
        Ok(Self::next(self).await?.events.len())
    }
}
