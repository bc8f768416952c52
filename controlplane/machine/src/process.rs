//! Processes found by what they are, not by a remembered number.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The process whose arguments contain exactly `argument` and whose program is `program`.
pub(crate) fn find(program: &str, argument: &str) -> Option<Pid> {
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let raw = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0);
        let first = Path::new(std::str::from_utf8(words.next()?).ok()?).file_name()?;
        (first == program && words.any(|word| word == argument.as_bytes())).then(|| Pid::from_raw(raw))?
    })
}

/// The child of `parent` that is PID 1 of a PID namespace of its own.
pub(crate) fn namespace_leader(parent: Pid) -> Option<Pid> {
    let raw = parent.as_raw_pid();
    let children = std::fs::read_to_string(format!("/proc/{raw}/task/{raw}/children")).ok()?;
    children
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .filter_map(Pid::from_raw)
        .find(leads)
}

fn leads(pid: &Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).unwrap_or_default();
    let ids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .unwrap_or_default();
    ids.split_whitespace().count() > 1 && ids.split_whitespace().next_back() == Some("1")
}

/// Waits until `pid` has ended, at most for `patience`; says whether it has.
pub(crate) fn wait_gone(pid: Pid, patience: Duration) -> bool {
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    ended(&handle, patience)
}

fn ended(handle: &OwnedFd, patience: Duration) -> bool {
    let timeout = Timespec::try_from(patience).ok();
    let mut fds = [PollFd::new(handle, PollFlags::IN)];
    poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
}
