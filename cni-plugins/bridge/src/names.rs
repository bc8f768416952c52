//! Names by which a container's link is found again.

/// The host's end of the link of (`container_id`, `ifname`): `veth` and 11 hexadecimal digits, the
/// same each time, so that DEL needs no memory.
#[must_use]
pub fn host_name(container_id: &str, ifname: &str) -> String {
    let hash = fnv1a(format!("{container_id}/{ifname}").as_bytes());
    format!("veth{:011x}", hash & 0xfff_ffff_ffff)
}

/// Whether `name` is one that [`host_name`] gives.
pub(crate) fn is_host_name(name: &str) -> bool {
    let digits = name.strip_prefix("veth").unwrap_or_default();
    digits.len() == 11 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What the host's end says of itself in `ip link`: the network, the container and its interface.
#[must_use]
pub fn alias(network: &str, container_id: &str, ifname: &str) -> String {
    // The kernel's limit is 255 bytes; the first two are checked identifiers of ASCII.
    let mut text = format!("{}{container_id} {ifname}", alias_prefix(network));
    text.truncate(255);
    text
}

/// How the aliases of a network's links begin.
pub(crate) fn alias_prefix(network: &str) -> String {
    format!("cni {network} ")
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_the_kernel_and_differs_by_container_and_interface() {
        let name = host_name("pod-1", "eth0");
        assert!(name.len() == 15 && is_host_name(&name));
        assert_eq!(name, host_name("pod-1", "eth0"));
        assert_ne!(name, host_name("pod-1", "eth1"));
        assert_ne!(name, host_name("pod-2", "eth0"));
    }
}
