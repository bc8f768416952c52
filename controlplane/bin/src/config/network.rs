//! The cluster's address ranges, checked against each other.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail, ensure};
use ipnet::{IpNet, Ipv4Net};

use super::parsed;

/// Which host of the service range is the cluster's DNS, where nothing else is said.
const DNS_HOST: usize = 10;

/// Most nodes' ranges that a pod range may be cut into, as a power of two; upstream's limit.
const MAX_NODE_BITS: u8 = 16;

/// Longest prefix of a node's range: bridge, one pod, network and broadcast address.
const MAX_NODE_MASK: u8 = 30;

/// The keys of the file that say which addresses a cluster uses, as they are written.
#[derive(Debug, Clone)]
pub(super) struct Keys<'a> {
    pub(super) pod_cidr: &'a str,
    pub(super) node_cidr_mask_size: u8,
    pub(super) service_cidr: &'a str,
    pub(super) cluster_dns: Option<&'a str>,
    /// Where the API is reached; on loopback it is in nobody's way.
    pub(super) advertise: IpAddr,
}

/// The addresses of a cluster: ranges that share none, and the DNS server's inside the services'.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// Addresses of pods, of which each node gets a part.
    pub(crate) pods: IpNet,
    /// Prefix length of a node's part.
    pub(crate) node_mask: u8,
    /// Addresses of Services.
    pub(crate) services: IpNet,
    /// Address of the cluster's DNS server.
    pub(crate) dns: IpAddr,
}

impl Network {
    /// Checks the keys alone and together.
    ///
    /// # Errors
    ///
    /// Names the keys, their values, and what to do.
    pub(super) fn check(keys: &Keys<'_>) -> anyhow::Result<Self> {
        let pods = range("pod_cidr", keys.pod_cidr)?;
        let services = range("service_cidr", keys.service_cidr)?;
        if pods.contains(&services) || services.contains(&pods) {
            bail!("service_cidr = \"{services}\" overlaps pod_cidr = \"{pods}\": choose separate ranges");
        }
        for (key, range) in [("pod_cidr", pods), ("service_cidr", services)] {
            let address = keys.advertise;
            ensure!(
                !IpNet::from(range).contains(&address),
                "advertise_address = \"{address}\" lies in {key} = \"{range}\": choose a range in which no machine has \
                 its address"
            );
        }
        Ok(Self {
            node_mask: node_mask(pods, keys.node_cidr_mask_size)?,
            dns: IpAddr::V4(dns(services, keys.cluster_dns)?),
            pods: pods.into(),
            services: services.into(),
        })
    }
}

fn range(key: &str, text: &str) -> anyhow::Result<Ipv4Net> {
    match parsed::<IpNet>(key, text)? {
        IpNet::V4(range) => Ok(range.trunc()),
        IpNet::V6(_) => bail!("{key} = {text:?}: must be an IPv4 range until clusters can have IPv6"),
    }
}

fn node_mask(pods: Ipv4Net, mask: u8) -> anyhow::Result<u8> {
    let fits = pods.prefix_len()..=pods.prefix_len().saturating_add(MAX_NODE_BITS).min(MAX_NODE_MASK);
    ensure!(
        fits.contains(&mask),
        "node_cidr_mask_size = {mask}: pod_cidr = \"{pods}\" can be cut into ranges of /{} to /{}",
        fits.start(),
        fits.end()
    );
    Ok(mask)
}

fn dns(services: Ipv4Net, given: Option<&str>) -> anyhow::Result<Ipv4Addr> {
    let Some(text) = given else {
        return services.hosts().nth(DNS_HOST - 1).with_context(|| {
            format!("service_cidr = \"{services}\": too small for the cluster's DNS, choose /28 or larger")
        });
    };
    let address: Ipv4Addr = parsed("cluster_dns", text)?;
    let first = services.hosts().next();
    let usable =
        services.contains(&address) && ![services.network(), services.broadcast()].contains(&address);
    ensure!(
        usable,
        "cluster_dns = \"{address}\" is no usable address of service_cidr = \"{services}\""
    );
    ensure!(
        first != Some(address),
        "cluster_dns = \"{address}\" is the first address of service_cidr, which belongs to the Service `kubernetes`"
    );
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys<'static> {
        Keys {
            pod_cidr: "10.42.0.0/16",
            node_cidr_mask_size: 24,
            service_cidr: "10.43.0.0/16",
            cluster_dns: None,
            advertise: "192.0.2.1".parse().unwrap(),
        }
    }

    #[test]
    fn the_dns_server_is_the_tenth_address_unless_named() {
        let derived = Network::check(&keys()).unwrap();
        assert_eq!(derived.dns.to_string(), "10.43.0.10");
        let named = Network::check(&Keys {
            cluster_dns: Some("10.43.7.7"),
            ..keys()
        });
        assert_eq!(named.unwrap().dns.to_string(), "10.43.7.7");
    }

    /// Checks that `change` makes the keys unfit, in a sentence with all `words`.
    #[track_caller]
    fn refused(change: impl FnOnce(&mut Keys<'static>), words: &[&str]) {
        let mut keys = keys();
        change(&mut keys);
        let message = Network::check(&keys).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn ranges_that_collide_are_refused_by_both_keys() {
        let pods = "pod_cidr = \"10.42.0.0/16\"";
        let both = ["service_cidr = \"10.42.1.0/24\"", pods];
        refused(|keys| keys.service_cidr = "10.42.1.0/24", &both);
        let both = ["service_cidr = \"10.0.0.0/8\"", pods];
        refused(|keys| keys.service_cidr = "10.0.0.0/8", &both);
        let both = ["advertise_address = \"10.42.3.4\"", pods];
        refused(|keys| keys.advertise = "10.42.3.4".parse().unwrap(), &both);
        let both = ["advertise_address = \"10.43.3.4\"", "service_cidr"];
        refused(|keys| keys.advertise = "10.43.3.4".parse().unwrap(), &both);
    }

    #[test]
    fn a_dns_address_outside_the_services_or_of_the_api_is_refused() {
        let words = ["cluster_dns = \"10.44.0.10\"", "service_cidr"];
        refused(|keys| keys.cluster_dns = Some("10.44.0.10"), &words);
        let words = ["cluster_dns", "Service `kubernetes`"];
        refused(|keys| keys.cluster_dns = Some("10.43.0.1"), &words);
        refused(
            |keys| keys.cluster_dns = Some("10.43.255.255"),
            &["no usable address"],
        );
    }

    #[test]
    fn ranges_of_the_wrong_size_or_family_are_refused() {
        let words = ["service_cidr", "/28 or larger"];
        refused(|keys| keys.service_cidr = "10.43.0.0/29", &words);
        let words = ["node_cidr_mask_size = 12", "/16 to /30"];
        refused(|keys| keys.node_cidr_mask_size = 12, &words);
        refused(|keys| keys.pod_cidr = "fd00::/48", &["pod_cidr", "IPv4"]);
    }
}
