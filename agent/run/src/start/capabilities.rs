//! Capabilities that this node can grant at all.

use std::fs;

use serde_json::Value;

/// Names by their number in the kernel.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// This process's bounding set; everything where it cannot be told.
pub(super) fn bounding() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse(&status).unwrap_or(u64::MAX)
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Removes from every set of `process` what is not in `bounding`: a node that is itself a container
/// or an old kernel has fewer, and crun refuses what it cannot grant.
pub(super) fn limit(process: &mut Value, bounding: u64) {
    let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) else {
        return;
    };
    for set in sets.values_mut().filter_map(Value::as_array_mut) {
        set.retain(|name| name.as_str().is_some_and(|n| granted(n, bounding)));
    }
}

fn granted(name: &str, bounding: u64) -> bool {
    NAMES
        .iter()
        .position(|n| *n == name)
        .is_some_and(|number| (bounding >> number) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_node_lacks_is_left_out() {
        let mut process = json!({"capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_NEW"]}});
        limit(&mut process, 1);
        assert_eq!(process, json!({"capabilities": {"bounding": ["CAP_CHOWN"]}}));
    }

    #[test]
    fn the_bounding_set_is_read_from_the_status() {
        assert_eq!(
            parse("Name:\tx\nCapBnd:\t000001ffffffffff\n"),
            Some((1 << 41) - 1)
        );
    }
}
