//! The connection to the kernel.

use std::path::Path;

use tokio::runtime::Handle as Runtime;
use tokio::task::JoinSet;

use crate::error::NetlinkError;
use crate::netns::inside;

/// A netlink connection into one network namespace. Dropping it closes the socket.
#[derive(Debug)]
pub struct Netlink {
    pub(crate) handle: rtnetlink::Handle,
    /// Drives the connection; ends with it.
    _driver: JoinSet<()>,
}

impl Netlink {
    /// Connects to the namespace of the calling thread. Must be called on a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// When no socket can be made.
    pub fn open() -> Result<Self, NetlinkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|e| NetlinkError::io("open a netlink socket", e))?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Self {
            handle,
            _driver: driver,
        })
    }

    /// Connects to the namespace pinned at `netns`. Must be called on a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered or no socket can be made.
    pub fn open_in(netns: &Path) -> Result<Self, NetlinkError> {
        Self::open_in_after(netns, || ()).map(|((), pod)| pod)
    }

    /// Does `work` inside the namespace pinned at `netns`, and connects to it: one thread for both.
    /// Must be called on a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered or no socket can be made.
    pub fn open_in_after<T: Send>(
        netns: &Path,
        work: impl FnOnce() -> T + Send,
    ) -> Result<(T, Self), NetlinkError> {
        let runtime = Runtime::current();
        // A socket stays in the namespace of the thread that makes it.
        let (done, socket) = inside(netns, move || {
            let _entered = runtime.enter();
            (work(), Self::open())
        })?;
        Ok((done, socket?))
    }
}
