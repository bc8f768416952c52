//! Whose changes of the ruleset are one's own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs of `nft` that are remembered; notices of older ones have long been read.
const PROCESSES: usize = 16;

/// The ports of one ruleset: of its socket, and of the `nft` that it runs.
#[derive(Debug, Clone)]
pub struct Own {
    table: Arc<str>,
    ports: Arc<Mutex<Ports>>,
}

#[derive(Debug, Default)]
struct Ports {
    socket: u32,
    processes: VecDeque<u32>,
}

impl Own {
    pub(crate) fn of(table: &Arc<str>) -> Self {
        Self {
            table: Arc::clone(table),
            ports: Arc::default(),
        }
    }

    /// The table of the ruleset.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    pub(crate) fn set_port(&self, port: u32) {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).socket = port;
    }

    /// Notes a run of `nft`: the port of a process's first netlink socket is its number. Where that was
    /// taken, its changes count as another's, which costs a comparison.
    pub(crate) fn add_process(&self, process: u32) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.processes.push_back(process);
        if ports.processes.len() > PROCESSES {
            ports.processes.pop_front();
        }
    }

    /// Whether a change with this port is one's own.
    pub(crate) fn has(&self, port: u32) -> bool {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.socket == port || ports.processes.contains(&port)
    }
}
