use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::codec::{DecodeError, Reader, Writer};
use crate::command::{read_key, read_value};
use crate::{
    Applied, Batch, Cause, ClusterId, Entry, Event, Key, Loaded, Reclaimed, Revision, State, StateError,
};

/// A [`State`] in memory, for tests and simulation. Clones are handles on the same state, so loading a clone is what
/// opening the file again is to SQLite. Nothing applied is ever lost; a snapshot is a file in the encoding of
/// [`codec`](crate::codec).
#[derive(Debug, Clone)]
pub struct MemoryState(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    cluster_id: ClusterId,
    revision: Revision,
    compacted: Revision,
    entries: BTreeMap<Key, Arc<Entry>>,
    history: Vec<Arc<Batch>>,
    position: Vec<u8>,
    full: bool,
    damaged: bool,
}

impl Default for MemoryState {
    fn default() -> Self {
        Self::of(ClusterId::generate())
    }
}

impl MemoryState {
    /// The empty state of the cluster `cluster_id`.
    #[must_use]
    pub fn of(cluster_id: ClusterId) -> Self {
        Self(Arc::new(Mutex::new(Kept::from(Loaded::empty(cluster_id)))))
    }

    /// While `full`, applying fails as on a full disk.
    pub fn set_full(&self, full: bool) {
        self.kept().full = full;
    }

    /// Until it is written anew, it counts as damaged.
    pub fn damage(&self) {
        self.kept().damaged = true;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State for MemoryState {
    fn load(&mut self) -> Result<Loaded, StateError> {
        Ok(self.kept().loaded())
    }

    fn apply(&mut self, applied: &Applied<'_>) -> Result<(), StateError> {
        let mut kept = self.kept();
        if kept.full {
            return Err(StateError::Full(Cause::from("no space left in memory")));
        }
        applied.batches.iter().for_each(|batch| kept.write(batch));
        if let Some(compacted) = applied.compacted {
            kept.compacted = compacted;
            kept.history.retain(|batch| batch.revision > compacted);
        }
        kept.position = applied.position.to_vec();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StateError> {
        Ok(())
    }

    fn reclaim(&mut self, _now: u64) -> Result<Reclaimed, StateError> {
        Ok(Reclaimed::Done)
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), StateError> {
        let mut out = Writer::default();
        write(&mut out, &self.kept());
        std::fs::write(into, out.finish()).map_err(|error| StateError::NotWritten(error.into()))
    }

    fn install(&mut self, from: &Path) -> Result<Loaded, StateError> {
        let bytes = std::fs::read(from).map_err(|error| StateError::NotWritten(error.into()))?;
        let loaded = read(&bytes).map_err(|error| StateError::Corrupt(error.into()))?;
        let mut kept = self.kept();
        if loaded.cluster_id != kept.cluster_id {
            let found = format!("the snapshot is of cluster {}", loaded.cluster_id);
            return Err(StateError::Corrupt(Cause::from(found)));
        }
        let full = kept.full;
        *kept = Kept {
            full,
            ..Kept::from(loaded)
        };
        Ok(kept.loaded())
    }

    fn verify(&mut self) -> Result<(), StateError> {
        match self.kept().damaged {
            true => Err(StateError::Corrupt(Cause::from("it was damaged"))),
            false => Ok(()),
        }
    }

    fn mend(&mut self, memory: &Loaded) -> Result<(), StateError> {
        let mut kept = self.kept();
        if kept.full {
            return Err(StateError::Full(Cause::from("no space left in memory")));
        }
        *kept = Kept::from(memory.clone());
        Ok(())
    }
}

impl From<Loaded> for Kept {
    fn from(loaded: Loaded) -> Self {
        let entries = loaded.entries.into_iter();
        Self {
            cluster_id: loaded.cluster_id,
            revision: loaded.revision,
            compacted: loaded.compacted,
            entries: entries.map(|entry| (entry.key.clone(), entry)).collect(),
            history: loaded.history.into_iter().map(Arc::new).collect(),
            position: loaded.position,
            full: false,
            damaged: false,
        }
    }
}

impl Kept {
    fn loaded(&self) -> Loaded {
        Loaded {
            cluster_id: self.cluster_id.clone(),
            revision: self.revision,
            compacted: self.compacted,
            entries: self.entries.values().cloned().collect(),
            history: self.history.iter().map(|batch| Batch::clone(batch)).collect(),
            position: self.position.clone(),
        }
    }

    fn write(&mut self, batch: &Arc<Batch>) {
        for event in &batch.events {
            match event {
                Event::Put { entry, .. } => self.entries.insert(entry.key.clone(), Arc::clone(entry)),
                Event::Delete { key, .. } => self.entries.remove(key),
            };
        }
        self.revision = batch.revision;
        self.history.push(Arc::clone(batch));
    }
}

fn write(out: &mut Writer, kept: &Kept) {
    out.text(kept.cluster_id.as_str());
    out.u64(kept.revision.get());
    out.u64(kept.compacted.get());
    out.bytes(&kept.position);
    out.length(kept.entries.len());
    kept.entries.values().for_each(|entry| write_entry(out, entry));
    out.length(kept.history.len());
    for batch in &kept.history {
        out.u64(batch.revision.get());
        out.u64(batch.at);
        out.text(&batch.actor);
        out.length(batch.events.len());
        batch.events.iter().for_each(|event| write_event(out, event));
    }
}

fn write_event(out: &mut Writer, event: &Event) {
    out.option(event.current(), |out, entry| write_entry(out, entry));
    out.option(event.previous(), |out, entry| write_entry(out, entry));
}

fn read(bytes: &[u8]) -> Result<Loaded, DecodeError> {
    let mut reader = Reader::new(bytes);
    let loaded = Loaded {
        cluster_id: ClusterId::from_stored(reader.text()?.to_owned()),
        revision: reader.u64()?.into(),
        compacted: reader.u64()?.into(),
        position: reader.bytes()?.to_vec(),
        entries: reader.list(|reader| read_entry(reader).map(Arc::new))?,
        history: reader.list(read_batch)?,
    };
    reader.end()?;
    Ok(loaded)
}

fn read_batch(reader: &mut Reader<'_>) -> Result<Batch, DecodeError> {
    let revision = reader.u64()?.into();
    Ok(Batch {
        revision,
        at: reader.u64()?,
        actor: Arc::from(reader.text()?),
        events: reader.list(|reader| read_event(reader, revision))?,
    })
}

fn read_event(reader: &mut Reader<'_>, revision: Revision) -> Result<Event, DecodeError> {
    let current = reader.option(read_entry)?.map(Arc::new);
    let previous = reader.option(read_entry)?.map(Arc::new);
    match (current, previous) {
        (Some(entry), previous) => Ok(Event::Put { entry, previous }),
        (None, Some(previous)) => Ok(Event::Delete {
            key: previous.key.clone(),
            revision,
            previous,
        }),
        (None, None) => Err(DecodeError::Invalid("an event without any version".into())),
    }
}

/// Appends a version of an object to `out`.
pub(crate) fn write_entry(out: &mut Writer, entry: &Entry) {
    out.text(entry.key.as_str());
    out.u32(entry.value.splice());
    out.bytes(entry.value.bytes());
    out.u64(entry.create_revision.get());
    out.u64(entry.mod_revision.get());
    out.option(entry.expires_at, Writer::u64);
}

/// Reads what [`write_entry`] wrote.
pub(crate) fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    Ok(Entry {
        key: read_key(reader)?,
        value: read_value(reader)?,
        create_revision: reader.u64()?.into(),
        mod_revision: reader.u64()?.into(),
        expires_at: reader.option(Reader::u64)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Store, contract};

    impl contract::Disk for MemoryState {
        async fn open(&self, options: Options) -> Store {
            Store::open(self.clone(), options).unwrap()
        }

        fn fill(&self) {
            self.set_full(true);
        }

        fn make_room(&self) {
            self.set_full(false);
        }
    }

    crate::contract_tests!(MemoryState::default());

    use crate::{Command, Decided, Machine, Op, Value};
    use serde_json::json;

    fn command(machine: &Machine, ops: Vec<Op>) -> Command {
        let txns = vec![Decided {
            actor: "alice".into(),
            ops,
        }];
        Command {
            at: 7,
            first: machine.revision().next(),
            txns,
            compact: Revision::from(2),
        }
    }

    #[test]
    fn a_snapshot_installs_as_the_state_that_made_it() {
        let id = ClusterId::generate();
        let (mut one, mut other) = (MemoryState::of(id.clone()), MemoryState::of(id));
        let mut machine = Machine::restore(one.load().unwrap());
        let key = Key::parse("/registry/pods/a").unwrap();
        let put = Op::Put {
            key: key.clone(),
            value: Value::encode(&json!({"a": 1})).unwrap(),
            expires_at: Some(9),
        };
        for op in [put.clone(), put.clone(), Op::Delete { key }, put] {
            let change = machine.apply(&command(&machine, vec![op])).unwrap();
            one.apply(&Applied {
                batches: &change.batches,
                compacted: change.compacted,
                position: b"here",
            })
            .unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshot");
        one.snapshot(&file).unwrap();
        let installed = other.install(&file).unwrap();
        assert_eq!(installed.position, b"here");
        let restored = Machine::restore(installed);
        assert_eq!(restored.revision(), machine.revision());
        assert_eq!(restored.history().compacted(), machine.history().compacted());
        let after = Revision::from(2);
        assert!(restored.history().after(after).eq(machine.history().after(after)));
        assert!(
            MemoryState::default().install(&file).is_err(),
            "another cluster's"
        );
    }
}
