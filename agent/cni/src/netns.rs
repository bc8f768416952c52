//! Network namespaces, pinned by a mount under `/run/netns`.
//!
//! The folder becomes a mount of its own with shared propagation first, as `ip netns` makes it: then a
//! namespace pinned later is seen in other mount namespaces, and `ip netns exec` finds it. A pod costs
//! the node's mount table one line.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::error::CniError;

/// `f_type` of nsfs in statfs(2).
const NSFS: i64 = 0x6e73_6673;

/// Makes a new network namespace and pins it at `path` (beneath `/run/netns`); its `lo` is up, which the
/// runtime owes every namespace and for which a plugin would be a process more for each pod. Does nothing where `path` pins one already. Blocks.
///
/// # Errors
///
/// When the namespace cannot be made or mounted.
pub fn create(path: &Path) -> Result<(), CniError> {
    let failed = |source| CniError::Io {
        attempted: format!("pin a network namespace at {}", path.display()),
        source,
    };
    if is_pinned(path) {
        return Ok(());
    }
    let folder = path
        .parent()
        .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    share(folder).map_err(failed)?;
    // Not through a symlink, and not something that is a file of another's.
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    drop(rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|e| failed(e.into()))?);
    pin(path)
        .inspect_err(|_| drop(fs::remove_file(path)))
        .map_err(failed)
}

/// Unpins the network namespace at `path`; does nothing where there is none. Blocks.
///
/// # Errors
///
/// When it cannot be unmounted or removed.
pub fn remove(path: &Path) -> Result<(), CniError> {
    let failed = |source| CniError::Io {
        attempted: format!("unpin the network namespace {}", path.display()),
        source,
    };
    // Not only once: a start that was cut off and repeated may have pinned twice.
    while is_pinned(path) {
        match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => break,
            Err(e) => return Err(failed(e.into())),
        }
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
        _ => Ok(()),
    }
}

/// Whether `path` pins a namespace.
#[must_use]
pub fn is_pinned(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == NSFS)
}

/// A thread of its own makes the namespace, so that no other ever is in it.
fn pin(path: &Path) -> io::Result<()> {
    let make = || -> io::Result<()> {
        enter_new()?;
        loopback_up()?;
        Ok(mount_bind("/proc/thread-self/ns/net", path)?)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("new netns".to_owned())
            .spawn_scoped(scope, make)?;
        thread
            .join()
            .map_err(|_| io::Error::other("the thread that makes it panicked"))?
    })
}

#[expect(
    unsafe_code,
    reason = "unshare(2) is unsafe for flags that this call does not use"
)]
fn enter_new() -> io::Result<()> {
    // SAFETY: only CLONE_FILES makes descriptors diverge between threads; a network namespace of its
    // own does not touch memory or descriptors, and the thread ends right after.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?)
}

/// Brings `lo` up, in the namespace of the calling thread.
fn loopback_up() -> io::Result<()> {
    let mut lo = LinkMessage::default();
    // It is the first link of any namespace.
    lo.header.index = 1;
    lo.header.flags = LinkFlags::Up;
    lo.header.change_mask = LinkFlags::Up;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::SetLink(lo));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(refused) if refused.code.is_some() => Err(refused.to_io()),
        _ => Ok(()),
    }
}

/// Makes `folder` a shared mount in a peer group of its own, once. As a peer of the mount above it, which
/// a bind alone makes it, every namespace pinned in it would show twice.
fn share(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let lock = File::open(folder)?;
    // Two pods that start at the same time must not both mount it.
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    match mount_change(folder, MountPropagationFlags::SHARED | MountPropagationFlags::REC) {
        // It is no mount yet.
        Err(Errno::INVAL) => {
            rustix::mount::mount_bind_recursive(folder, folder)?;
            mount_change(
                folder,
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )?;
            Ok(mount_change(
                folder,
                MountPropagationFlags::SHARED | MountPropagationFlags::REC,
            )?)
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    fn lines(path: &Path) -> usize {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table
            .lines()
            .filter(|line| line.contains(path.to_str().unwrap()))
            .count()
    }

    /// Whether `lo` is up in the namespace that `path` pins: only then it has its address ::1.
    fn lo_is_up(path: &Path) -> bool {
        let namespace = File::open(path).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                rustix::thread::move_into_link_name_space(
                    namespace.as_fd(),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )
                .unwrap();
                // The caller's /sys shows the caller's namespace; /proc/thread-self follows the thread.
                fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap()
            });
            inside.join().unwrap().contains("lo")
        })
    }

    #[test]
    fn a_namespace_is_one_mount_line_and_leaves_nothing() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: network namespaces need root");
            return;
        }
        let path = Path::new("/run/netns").join(format!("floe-test-unit-{}", std::process::id()));
        create(&path).unwrap();
        create(&path).unwrap();
        assert!(is_pinned(&path));
        assert_eq!(lines(&path), 1);
        assert!(lo_is_up(&path));
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(lines(&path), 0);
    }
}
