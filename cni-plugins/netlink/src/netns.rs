//! Work inside another network namespace.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::NetlinkError;

/// Runs `work` on a thread of its own that is inside the network namespace `netns`.
///
/// The thread ends with `work`, so that no thread of a pool is ever left in a foreign namespace.
///
/// # Errors
///
/// When the namespace cannot be entered.
pub fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> Result<T, NetlinkError> {
    let failed = |e| NetlinkError::io(format!("enter the network namespace {}", netns.display()), e);
    let file = File::open(netns).map_err(failed)?;
    let entered = || -> io::Result<T> {
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))?;
        Ok(work())
    };
    let joined = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, entered)?;
        thread
            .join()
            .map_err(|_| io::Error::other("the thread inside it panicked"))?
    });
    joined.map_err(failed)
}
