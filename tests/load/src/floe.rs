//! Floe's store, in this process, as the API server has it in its own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use controlplane_store::{Key, Op, Outcome, Range, Store, Txn, Value};

use crate::group::Running;
use crate::target::{self, PREFIX, Target};

/// A handle of the store.
#[derive(Debug, Clone)]
pub(crate) struct Floe {
    store: Store,
    /// Stopped by the handle that closes.
    running: Arc<Mutex<Option<Running>>>,
    /// Values by their size.
    values: Arc<Mutex<BTreeMap<usize, Value>>>,
}

impl Floe {
    /// Opens the store in `folder`, of so many servers.
    ///
    /// # Errors
    ///
    /// Fails where the store cannot be opened.
    pub(crate) async fn open(folder: &Path, servers: u64) -> Result<Self> {
        let running = match servers {
            1 => Running::alone(folder).await?,
            count => Running::leading(folder, count).await?,
        };
        Ok(Self {
            store: running.server.store().clone(),
            running: Arc::new(Mutex::new(Some(running))),
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
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.stop().await;
        }
    }
}

impl target::Watch for controlplane_store::Watch {
    async fn next(&mut self) -> Result<usize> {
        Ok(Self::next(self).await?.events.len())
    }
}
