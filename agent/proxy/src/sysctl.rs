//! Kernel settings without which services do not work.

use std::io;
use std::path::Path;
use std::process::Command;

use tracing::{info, warn};

use crate::config::Config;
use crate::family::Family;

/// A setting and what fails without it.
struct Setting {
    path: &'static str,
    without: &'static str,
}

const FORWARD: Setting = Setting {
    path: "net/ipv4/ip_forward",
    without: "pods and services are out of reach from other nodes; set net.ipv4.ip_forward=1",
};
const FORWARD6: Setting = Setting {
    path: "net/ipv6/conf/all/forwarding",
    without: "pods and services are out of reach over IPv6; set net.ipv6.conf.all.forwarding=1",
};
const BRIDGE: Setting = Setting {
    path: "net/bridge/bridge-nf-call-iptables",
    without: "a pod cannot use a service whose endpoint is a pod on the same node; load the kernel module \
              br_netfilter and set net.bridge.bridge-nf-call-iptables=1",
};
const BRIDGE6: Setting = Setting {
    path: "net/bridge/bridge-nf-call-ip6tables",
    without: "a pod cannot use a service over IPv6 whose endpoint is a pod on the same node; load the kernel \
              module br_netfilter and set net.bridge.bridge-nf-call-ip6tables=1",
};

/// Makes every setting 1, or says in the log what does not work.
pub(crate) fn apply(config: &Config) {
    let ipv6 = config
        .pod_ranges
        .iter()
        .any(|net| Family::of_net(net) == Family::V6);
    let root = Path::new("/proc/sys");
    if !root.join(BRIDGE.path).exists() {
        load_bridge_filter();
    }
    let six = [FORWARD6, BRIDGE6].into_iter().filter(|_| ipv6);
    for setting in [FORWARD, BRIDGE].into_iter().chain(six) {
        if let Err(error) = enable(&root.join(setting.path)) {
            warn!(setting = setting.path, error = %error, without = setting.without, "kernel setting missing");
        }
    }
}

/// Harmless where the module is built in or modules cannot be loaded: the setting tells.
fn load_bridge_filter() {
    match Command::new("modprobe").arg("br_netfilter").output() {
        Ok(output) if output.status.success() => info!("kernel module br_netfilter loaded"),
        Ok(_) | Err(_) => {}
    }
}

fn enable(path: &Path) -> io::Result<()> {
    if std::fs::read_to_string(path)?.trim() == "1" {
        return Ok(());
    }
    std::fs::write(path, "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_right_is_not_written() {
        assert!(enable(Path::new("/dev/null/absent")).is_err());
        let file = std::env::temp_dir().join(format!("floe-sysctl-{}", std::process::id()));
        std::fs::write(&file, "0\n").unwrap();
        enable(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "1");
        std::fs::remove_file(&file).unwrap();
    }
}
