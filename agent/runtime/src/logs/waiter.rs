//! What a reader of the journal waits for.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use inotify::{Inotify, WatchMask};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Where journald keeps its files, a folder a machine in each.
const JOURNALS: [&str; 2] = ["/run/log/journal", "/var/log/journal"];

/// Tells a waiting thread that nobody reads its lines any more.
#[derive(Debug, Clone)]
pub(super) struct Gone(Arc<OwnedFd>);

impl Gone {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?)))
    }

    /// Ends every wait, now and later.
    pub(super) fn tell(&self) {
        // It can only fail by being full: then it has been told.
        rustix::io::write(&*self.0, &1_u64.to_ne_bytes()).ok();
    }
}

/// Wakes when something was written to the journal or in another folder, or the reader is gone.
pub(super) struct Waiter {
    inotify: Inotify,
    gone: Gone,
}

impl Waiter {
    /// Watches the journal's folders and `dir`. A folder that is not there is not watched.
    pub(super) fn new(dir: &Path, gone: Gone) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let mut watches = inotify.watches();
        for folder in journals().iter().map(PathBuf::as_path).chain([dir]) {
            let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
            match watches.add(folder, mask) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(Self { inotify, gone })
    }

    /// Waits for at most `limit`.
    pub(super) fn wait(&mut self, limit: Duration) -> io::Result<()> {
        let limit = Timespec::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
        let (changed, gone) = (self.inotify.as_fd(), self.gone.0.as_fd());
        let mut both = [&changed, &gone].map(|fd| PollFd::new(fd, PollFlags::IN));
        match poll(&mut both, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.drain()
    }

    /// Forgets what has been told, so that the next wait is for something new.
    fn drain(&mut self) -> io::Result<()> {
        let mut events = [0; 4096];
        loop {
            match self.inotify.read_events(&mut events) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn journals() -> Vec<PathBuf> {
    let roots = JOURNALS.map(PathBuf::from);
    let machines = roots
        .iter()
        .flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
    let machines: Vec<PathBuf> = machines
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    roots.into_iter().chain(machines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(20);

    /// How long a wait takes during which `meanwhile` happens.
    fn waits(dir: &Path, meanwhile: impl FnOnce(&Gone) + Send) -> Duration {
        let gone = Gone::new().unwrap();
        let mut waiter = Waiter::new(dir, gone.clone()).unwrap();
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| meanwhile(&gone));
            waiter.wait(LONG).unwrap();
        });
        began.elapsed()
    }

    #[test]
    fn a_record_that_is_renamed_into_place_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (fresh, record) = (dir.path().join("new"), dir.path().join("records.json"));
        fs::write(&fresh, "{}").unwrap();
        assert!(waits(dir.path(), |_| fs::rename(&fresh, &record).unwrap()) < LONG);
    }

    #[test]
    fn a_reader_that_leaves_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        assert!(waits(dir.path(), Gone::tell) < LONG);
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_error() {
        let gone = Gone::new().unwrap();
        let mut waiter = Waiter::new(Path::new("/no/such/folder"), gone).unwrap();
        waiter.wait(Duration::from_millis(1)).unwrap();
    }
}
