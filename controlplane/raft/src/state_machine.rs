use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use controlplane_store::StateError;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta};

use crate::keeper::{Keeper, Step};
use crate::memory::{Memory, Place};
use crate::types::{
    Answer, Entry, LogId, Peer, ServerId, SnapshotFile, StorageError, StorageIoError, StoredMembership, Types,
};
use crate::wire::Position;

/// How soon a damaged state is asked again whether it is durable.
const AGAIN: Duration = Duration::from_secs(1);

/// Applies the log's entries to the copy in memory and hands what they did to the state on disk.
///
/// What the library takes for a snapshot is a promise: the position up to which the state is durable, so that the log
/// may be purged up to there. The file is made when a peer needs it.
#[derive(Debug)]
pub(crate) struct StateMachine {
    memory: Memory,
    keeper: Keeper,
    durable: Arc<Mutex<Position>>,
}

/// Makes the promise.
#[derive(Debug)]
pub(crate) struct Promise {
    keeper: Keeper,
    durable: Arc<Mutex<Position>>,
}

impl StateMachine {
    pub(crate) fn new(memory: Memory, keeper: Keeper) -> Self {
        let durable = memory.place().position.clone();
        Self {
            memory,
            keeper,
            durable: Arc::new(Mutex::new(durable)),
        }
    }

    fn apply_entry(&self, place: &mut Place, entry: Entry, step: &mut Step) -> Answer {
        place.position.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => Answer::Done,
            EntryPayload::Membership(membership) => {
                place.position.membership = StoredMembership::new(Some(entry.log_id), membership);
                Answer::Done
            }
            EntryPayload::Normal(payload) => match self.memory.replica.apply(payload.command()) {
                Ok(change) => {
                    step.batches.extend(change.batches);
                    step.compacted = change.compacted.or(step.compacted);
                    Answer::Done
                }
                Err(error) => Answer::OutOfStep(error),
            },
        }
    }
}

/// The description of a snapshot at `position`.
pub(crate) fn described(position: &Position) -> SnapshotMeta<ServerId, Peer> {
    SnapshotMeta {
        last_log_id: position.applied,
        last_membership: position.membership.clone(),
        snapshot_id: position.applied.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn promised(position: &Position) -> Snapshot<Types> {
    Snapshot {
        meta: described(position),
        snapshot: Box::new(SnapshotFile::default()),
    }
}

fn failed(error: &StateError) -> StorageError {
    StorageIoError::write_state_machine(AnyError::new(error)).into()
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = Promise;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let place = self.memory.place();
        Ok((place.position.applied, place.position.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answer>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut step = Step::default();
        let answers = {
            let mut place = self.memory.place();
            let entries = entries.into_iter();
            let answers = entries
                .map(|entry| self.apply_entry(&mut place, entry, &mut step))
                .collect();
            place.steps += 1;
            (step.number, step.position) = (place.steps, place.position.encode());
            answers
        };
        self.keeper.apply(step).await.map_err(|error| failed(&error))?;
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Promise {
        Promise {
            keeper: self.keeper.clone(),
            durable: Arc::clone(&self.durable),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotFile>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<ServerId, Peer>,
        snapshot: Box<SnapshotFile>,
    ) -> Result<(), StorageError> {
        let broken = |error: &StateError| {
            StorageError::from(StorageIoError::write_snapshot(
                Some(meta.signature()),
                AnyError::new(error),
            ))
        };
        self.memory.place().installing = true;
        let loaded = self.keeper.install(snapshot.0.clone()).await;
        let loaded = loaded.map_err(|error| broken(&error))?;
        let position = Position::decode(&loaded.position);
        let position = position.map_err(|error| broken(&StateError::Corrupt(error.into())))?;
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = position.clone();
        let mut place = self.memory.place();
        self.memory.replica.install(loaded);
        (place.position, place.installing) = (position, false);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(durable.applied.is_some().then(|| promised(&durable)))
    }
}

impl RaftSnapshotBuilder<Types> for Promise {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let synced = loop {
            match self.keeper.sync().await {
                // Until the state is mended nothing is promised, and the log keeps everything.
                Err(StateError::Corrupt(_)) => tokio::time::sleep(AGAIN).await,
                synced => break synced.map_err(|error| failed(&error))?,
            }
        };
        let position =
            Position::decode(&synced).map_err(|error| failed(&StateError::Corrupt(error.into())))?;
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = position.clone();
        Ok(promised(&position))
    }
}
