use std::path::Path;
use std::sync::Arc;

use crate::{Batch, Loaded, Reclaimed, Revision, StateError};

/// What keeps applied state on disk, behind the log that makes acknowledged writes durable.
///
/// Called from one thread only, off the write path. [`MemoryState`](crate::MemoryState) is its twin for tests.
pub trait State: Send + 'static {
    /// The whole state; called once, first. Verifies every row that it reads.
    ///
    /// # Errors
    ///
    /// Fails where the state cannot be read, is damaged, or belongs to a newer schema version.
    fn load(&mut self) -> Result<Loaded, StateError>;

    /// Writes what was applied, all or nothing, with the position that it reaches. What it wrote may be lost at a
    /// power cut until [`sync`](Self::sync): the log still has it then.
    ///
    /// # Errors
    ///
    /// [`StateError::Full`] and [`StateError::NotWritten`] promise that nothing was written; the same call is
    /// repeated later.
    fn apply(&mut self, applied: &Applied<'_>) -> Result<(), StateError>;

    /// Makes everything applied so far durable; called before the log forgets it.
    ///
    /// # Errors
    ///
    /// Where that is not certain; the log is then kept.
    fn sync(&mut self) -> Result<(), StateError>;

    /// One bounded step (10 ms at most) of upkeep: retention of history on disk, space, checkpoints, scrubbing.
    /// `now` is Unix time in seconds.
    ///
    /// # Errors
    ///
    /// A failure loses nothing; it is logged and tried again later.
    fn reclaim(&mut self, now: u64) -> Result<Reclaimed, StateError>;

    /// Writes a copy of the whole state, at the position reached, to the new file `into`.
    ///
    /// # Errors
    ///
    /// Where the copy could not be made; a part of it may be left behind.
    fn snapshot(&mut self, into: &Path) -> Result<(), StateError>;

    /// Replaces the whole state by the snapshot in `from` and loads it. After a crash at any point either the old
    /// state is there or the new one. `from` may be moved or left.
    ///
    /// # Errors
    ///
    /// Where the snapshot is no state, is damaged, belongs to another cluster, or could not be taken over; the old
    /// state is then still there.
    fn install(&mut self, from: &Path) -> Result<Loaded, StateError>;

    /// Reads and checks all that is on disk, past every cache, as after a reader found damage in it.
    ///
    /// # Errors
    ///
    /// [`StateError::Corrupt`] where it is damaged.
    fn verify(&mut self) -> Result<(), StateError>;

    /// Writes a state whose file is damaged anew from `memory`, which is what was loaded, with checks, and applied since, at
    /// its position. What only the file had, older history above all, is taken over as far as it can be read and is right.
    /// After a crash at any point the old state is there or the new one.
    ///
    /// # Errors
    ///
    /// Where it could not be written; the state is then as damaged as before.
    fn mend(&mut self, memory: &Loaded) -> Result<(), StateError>;
}

/// What was applied in memory since the call before.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// The batches, in order and without gap after those before. May be empty: a position alone is worth keeping.
    pub batches: &'a [Arc<Batch>],
    /// History up to this revision was forgotten, where that changed.
    pub compacted: Option<Revision>,
    /// How far in the log this reaches; opaque here.
    pub position: &'a [u8],
}
