//! What the current run is doing, as `floe-run` last wrote it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::launch::STATE_FILE;
use crate::{FormatError, file};

/// The current run. `state.json`; it speaks of the run that `invocation_id` names, which may have
/// ended since: then a record of that id exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// systemd's id of the run.
    pub invocation_id: String,
    /// Restarts before this run.
    pub restart: u64,
    /// How far it is.
    pub phase: Phase,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "phase")]
pub enum Phase {
    /// Waiting for its back-off to end.
    Waiting {
        /// End of the wait, microseconds since the epoch.
        until: u64,
    },
    /// Handed to crun; whether it runs is for the unit to say.
    Started {
        /// When, microseconds since the epoch.
        at: u64,
    },
}

impl State {
    /// Reads `state.json` of the container's directory; `None` before the first start.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it.
    pub fn read(dir: &Path) -> Result<Option<Self>, FormatError> {
        file::read(&dir.join(STATE_FILE))
    }

    /// Replaces `state.json` by rename.
    ///
    /// # Errors
    ///
    /// Names the file and why it could not be written.
    pub fn write(&self, dir: &Path) -> Result<(), FormatError> {
        file::replace(&dir.join(STATE_FILE), self)
    }
}
