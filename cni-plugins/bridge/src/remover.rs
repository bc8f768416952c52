//! Deletion of links.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;

use cni_plugins_netlink::{Monitor, Netlink, NetlinkError, Notice, Watched};
use cni_plugins_spec::CniError;
use tokio::process::{Child, Command};

use crate::add::system;
use crate::plugin::block_on;

/// First argument of the executable that deletes the link whose index is the second.
pub const DELETE_LINK: &str = "delete-link";

/// How a link is deleted.
///
/// A pair of links is gone from both namespaces within a millisecond; then the kernel keeps the
/// process that asked for it waiting, 20 ms and more, for readers that might still see it. A process
/// of its own can wait there as well as the runtime's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Remover {
    /// In this process.
    #[default]
    Itself,
    /// In a process that may outlive this one.
    Helper,
}

impl Remover {
    /// Deletes a link; it is gone when this returns.
    pub(crate) async fn delete(self, host: &Netlink, index: u32) -> Result<(), NetlinkError> {
        let helped = match self {
            Self::Itself => false,
            Self::Helper => helped(index).await,
        };
        // Where the helper could not, this process can, or tells why not.
        if helped { Ok(()) } else { host.delete(index).await }
    }
}

/// Whether a helper got the link deleted.
async fn helped(index: u32) -> bool {
    // Listening comes first, so that the notice cannot be missed.
    let Ok(mut monitor) = Monitor::open(Watched::Links) else {
        return false;
    };
    let Ok(mut helper) = start(index) else {
        return false;
    };
    loop {
        tokio::select! {
            // Cancel-safe: the next notice stays in the queue.
            notice = monitor.next() => match notice {
                Some(Notice::LinkGone(gone)) if gone == index => return true,
                Some(Notice::Lost) | None => return ended(&mut helper).await,
                Some(_) => {}
            },
            // Cancel-safe: a process stays ended.
            done = helper.wait() => return done.is_ok_and(|status| status.success()),
        }
    }
}

async fn ended(helper: &mut Child) -> bool {
    helper.wait().await.is_ok_and(|status| status.success())
}

/// Without streams: a container runtime waits until nobody holds those of the plugin any more.
fn start(index: u32) -> io::Result<Child> {
    Command::new("/proc/self/exe")
        .arg0("floe-cni")
        .arg(DELETE_LINK)
        .arg(index.to_string())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// The helper: deletes the link with that index.
///
/// # Errors
///
/// When `index` is none, or the kernel refuses.
pub fn delete_link(index: &OsStr) -> Result<(), CniError> {
    let index = index.to_str().and_then(|text| text.parse().ok());
    let index = index.ok_or_else(|| CniError::config(format!("{DELETE_LINK} needs the index of a link")))?;
    block_on(async {
        let host = Netlink::open().map_err(system)?;
        host.delete(index).await.map_err(system)
    })
}
