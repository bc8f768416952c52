use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use controlplane_raft::{Log, state_error};
use controlplane_store::StateError;
use controlplane_wal::{SimDisk, Wal};

use crate::Random;

/// One sync in so many takes twenty times as long as others, as where the disk clears up.
const SELDOM: u64 = 50;

/// How long a disk takes to sync. Clones are the same disk's.
#[derive(Debug, Clone)]
pub(crate) struct Pace(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    random: Random,
    usual: Duration,
    /// What comes on top for a while, at most.
    stalled: Duration,
    /// Syncs under way.
    under_way: usize,
}

impl Pace {
    /// A disk that takes about `usual`; none takes no time at all.
    #[must_use]
    pub(crate) fn new(usual: Duration, random: Random) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            random,
            usual,
            stalled: Duration::ZERO,
            under_way: 0,
        })))
    }

    /// From now on syncs take up to so much longer.
    pub(crate) fn stall(&self, most: Duration) {
        self.inner().stalled = most;
    }

    /// Whether a sync is under way.
    #[must_use]
    pub(crate) fn is_syncing(&self) -> bool {
        self.inner().under_way > 0
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self) -> Duration {
        let mut inner = self.inner();
        if inner.usual.is_zero() && inner.stalled.is_zero() {
            return Duration::ZERO;
        }
        let most = match inner.random.below(SELDOM) {
            0 => inner.usual * 20,
            _ => inner.usual * 2,
        } + inner.stalled;
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(inner.random.below(micros))
    }

    /// Waits as long as one sync takes.
    async fn pass(&self) {
        let time = self.draw();
        if !time.is_zero() {
            let under_way = UnderWay::begin(self);
            tokio::time::sleep(time).await;
            drop(under_way);
        }
    }
}

/// Counts a sync for as long as it lasts, also where its server ends meanwhile.
struct UnderWay<'a>(&'a Pace);

impl<'a> UnderWay<'a> {
    fn begin(pace: &'a Pace) -> Self {
        pace.inner().under_way += 1;
        Self(pace)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.inner().under_way -= 1;
    }
}

/// A log on a disk that takes its time: meanwhile others run, and the power may be cut between a write and its sync.
#[derive(Debug)]
pub(crate) struct PacedLog {
    pub(crate) wal: Wal<SimDisk>,
    pub(crate) pace: Pace,
}

impl Log for PacedLog {
    fn first(&self) -> u64 {
        self.wal.first()
    }

    fn next(&self) -> u64 {
        self.wal.next()
    }

    fn meta(&self) -> Vec<u8> {
        self.wal.meta().to_vec()
    }

    async fn append(&mut self, records: &[(u64, Bytes)]) -> Result<(), StateError> {
        self.wal.append(records).map_err(state_error)?;
        self.pace.pass().await;
        self.wal.sync().map_err(state_error)
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Bytes)>, StateError> {
        self.wal.read(range, max_bytes).map_err(state_error)
    }

    async fn truncate_from(&mut self, index: u64) -> Result<(), StateError> {
        self.pace.pass().await;
        self.wal.truncate_from(index).map_err(state_error)?;
        self.pace.pass().await;
        Ok(())
    }

    async fn purge_through(&mut self, index: u64) -> Result<(), StateError> {
        self.pace.pass().await;
        self.wal.purge_through(index).map_err(state_error)?;
        self.pace.pass().await;
        Ok(())
    }

    async fn set_meta(&mut self, data: &[u8]) -> Result<(), StateError> {
        self.pace.pass().await;
        self.wal.set_meta(data).map_err(state_error)?;
        self.pace.pass().await;
        Ok(())
    }
}
