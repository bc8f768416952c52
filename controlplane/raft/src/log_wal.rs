use std::ops::Range;

use bytes::Bytes;
use controlplane_store::StateError;
use controlplane_wal::{Disk, Wal, WalError};

use crate::log::Log;

impl<D: Disk> Log for Wal<D> {
    fn first(&self) -> u64 {
        Wal::first(self)
    }

    fn next(&self) -> u64 {
        Wal::next(self)
    }

    fn meta(&self) -> Vec<u8> {
        Wal::meta(self).to_vec()
    }

    async fn append(&mut self, records: &[(u64, Bytes)]) -> Result<(), StateError> {
        // A sync that fails ends the log, so what is refused here was not written and may be tried again, or not.
        Wal::append(self, records).map_err(state_error)?;
        self.sync().map_err(state_error)
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Bytes)>, StateError> {
        Wal::read(self, range, max_bytes).map_err(state_error)
    }

    async fn truncate_from(&mut self, index: u64) -> Result<(), StateError> {
        Wal::truncate_from(self, index).map_err(state_error)
    }

    async fn purge_through(&mut self, index: u64) -> Result<(), StateError> {
        Wal::purge_through(self, index).map_err(state_error)
    }

    async fn set_meta(&mut self, data: &[u8]) -> Result<(), StateError> {
        Wal::set_meta(self, data).map_err(state_error)
    }
}

/// What the log's failure means for what was to be written.
pub fn state_error(error: WalError) -> StateError {
    match &error {
        WalError::Full { .. } => StateError::Full(error.into()),
        WalError::NotWritten { .. } => StateError::NotWritten(error.into()),
        WalError::Corrupt { .. } | WalError::NewerFormat { .. } => StateError::Corrupt(error.into()),
        WalError::Failed { .. }
        | WalError::Stopped
        | WalError::Read { .. }
        | WalError::NotContiguous { .. }
        | WalError::OutOfRange { .. }
        | WalError::TooLarge { .. } => StateError::Unknown(error.into()),
    }
}
