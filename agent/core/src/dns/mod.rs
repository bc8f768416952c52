//! The texts of a pod's host name, `/etc/hosts` and `/etc/resolv.conf`.

mod hosts;
mod name;
mod resolv;
#[cfg(test)]
mod tests;

pub use hosts::{host_network_hosts, hosts};
pub use name::{FqdnTooLong, fqdn, hostname, kernel_hostname};
pub use resolv::{ClusterDns, ResolvConf, nameservers, node_resolver, resolv_conf};
