use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use controlplane_store::{Loaded, Replica};

use crate::wire::Position;

/// The copy in memory together with its place in the log, which change in one step. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) replica: Replica,
    place: Arc<Mutex<Place>>,
}

/// How far the copy is.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) position: Position,
    /// Steps taken since the start.
    pub(crate) steps: u64,
    /// Set while copy and file are replaced by a snapshot, and do not belong together.
    pub(crate) installing: bool,
}

impl Memory {
    pub(crate) fn new(replica: Replica, position: Position) -> Self {
        let place = Place {
            position,
            steps: 0,
            installing: false,
        };
        Self {
            replica,
            place: Arc::new(Mutex::new(place)),
        }
    }

    /// Held while the copy is changed.
    pub(crate) fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position, in the form in which the state keeps it.
    pub(crate) fn position(&self) -> Vec<u8> {
        self.place().position.encode()
    }

    /// All of the copy at its position, and the number of the step that made it; none while a snapshot is taken over.
    pub(crate) fn dump(&self) -> Option<(Loaded, u64)> {
        let place = self.place();
        let position = place.position.encode();
        let loaded = || Loaded {
            position,
            ..self.replica.dump()
        };
        (!place.installing).then(|| (loaded(), place.steps))
    }
}
