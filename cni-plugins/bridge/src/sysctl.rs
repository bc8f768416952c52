//! Kernel settings of links.

use cni_plugins_netlink::set_sysctl;
use cni_plugins_spec::CniError;

/// Forwards packets of both families, as a gateway must.
pub(crate) fn forward(v4: bool, v6: bool) -> Result<(), CniError> {
    if v4 {
        set("net/ipv4/ip_forward", "1")?;
    }
    if v6 {
        set("net/ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Ignores router advertisements on `link`: another container could send them (CVE-2020-10749).
pub(crate) fn no_router_advertisements(link: &str) -> Result<(), CniError> {
    set(&format!("net/ipv6/conf/{link}/accept_ra"), "0")
}

/// Makes `link` tell its neighbours at once who has its address now.
pub(crate) fn announce(link: &str) -> Result<(), CniError> {
    set(&format!("net/ipv4/conf/{link}/arp_notify"), "1")?;
    set(&format!("net/ipv6/conf/{link}/ndisc_notify"), "1")
}

fn set(key: &str, value: &str) -> Result<(), CniError> {
    set_sysctl(key, value).map_err(|error| CniError::system(&error))
}
