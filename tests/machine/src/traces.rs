//! What pods make on a machine, to be compared before and after a test.

use std::collections::BTreeSet;

use anyhow::Result;
use tests_harness::Node;

/// One thing a line. What crun keeps of a container comes and goes with its restarts, also those of pods that
/// other tests left running, so it counts only where its pod is gone.
const TRACES: &str = r#"
systemctl list-units --all --plain --no-legend 'floe-NAMESPACE:*' 'floe-pods*-NAMESPACE:*' | cut -d' ' -f1
find /run/netns -name 'floe-*' 2>/dev/null
ip -o link show master floe0 2>/dev/null | cut -d: -f2
ls -d /var/lib/cni/results/* /var/lib/cni/networks/*/[0-9]* 2>/dev/null
ls -d /run/floe/pods/* /var/lib/floe/agent/pods/* 2>/dev/null
for state in $(ls /run/floe/crun 2>/dev/null); do
  [ -e "/run/floe/pods/$(echo "$state" | cut -c 1-36)" ] || echo "/run/floe/crun/$state"
done
nsenter --mount=/run/floe/ns/mnt cat /proc/self/mountinfo | cut -d' ' -f5 | grep /run/floe/pods/
nft list table inet hostports-floe 2>/dev/null | grep -o 'comment "[^ ]* eth0 NAMESPACE/[^"]*' | sort -u
pgrep -lx 'crun|bridge|host-local|portmap|vxlan|nft'
true
"#;

/// Units of the pods of `namespace`, and all files, links, addresses, mounts and helpers of any pod on `node`.
///
/// # Errors
///
/// When the node cannot be asked.
pub fn traces(node: &impl Node, namespace: &str) -> Result<BTreeSet<String>> {
    let found = node.succeed(&TRACES.replace("NAMESPACE", namespace))?;
    let line = |line: &str| format!("{}: {line}", node.name());
    Ok(found.lines().map(line).collect())
}
