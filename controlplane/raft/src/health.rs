use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use controlplane_store::{Cause, StateError};
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::watch;

use crate::metrics;

/// What a member's log and state say about their disk, for whoever decides whether to write.
#[derive(Debug)]
pub(crate) struct Health {
    log: Mutex<Option<Arc<StateError>>>,
    state: Mutex<Option<Arc<StateError>>>,
    /// Whether the state on disk is damaged.
    damaged: watch::Sender<bool>,
    /// How long appends to the log took.
    pub(crate) append_seconds: Histogram,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            log: Mutex::default(),
            state: Mutex::default(),
            damaged: watch::Sender::default(),
            append_seconds: metrics::append_seconds(),
        }
    }
}

/// Who has trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Log,
    State,
}

impl Health {
    /// Notes that `part` works, or why it does not.
    pub(crate) fn set(&self, part: Part, trouble: Option<Arc<StateError>>) {
        let damaged = matches!(trouble.as_deref(), Some(StateError::Corrupt(_)));
        *self.slot(part).lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        if part == Part::State {
            self.damaged
                .send_if_modified(|before| std::mem::replace(before, damaged) != damaged);
        }
    }

    /// Whether the state on disk is damaged.
    pub(crate) fn damaged(&self) -> watch::Receiver<bool> {
        self.damaged.subscribe()
    }

    /// Why nothing can be written now.
    pub(crate) fn trouble(&self) -> Option<Arc<StateError>> {
        [Part::Log, Part::State].into_iter().find_map(|part| {
            self.slot(part)
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        })
    }

    fn slot(&self, part: Part) -> &Mutex<Option<Arc<StateError>>> {
        match part {
            Part::Log => &self.log,
            Part::State => &self.state,
        }
    }
}

/// The error of an answer that will never come because who should give it has ended.
pub(crate) fn ended(who: impl fmt::Display) -> StateError {
    StateError::Unknown(Cause::from(format!("{who} has ended")))
}
