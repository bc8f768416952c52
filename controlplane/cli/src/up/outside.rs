//! What a machine needs of this host to reach registries elsewhere: name servers and authorities.

use std::net::IpAddr;
use std::path::Path;

use controlplane_machine::SeedFile;

/// Where programs of this host look for name servers, and where systemd-resolved keeps its own.
const RESOLV: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
const MACHINES_RESOLV: &str = "/etc/resolv.conf";
/// The certificate authorities of this host, in one file: there on Debian, NixOS and their kin.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The files, as this host has them now.
pub(super) fn files() -> Vec<SeedFile> {
    let texts = RESOLV.map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let mut files = vec![SeedFile::text(MACHINES_RESOLV, resolv(&texts))];
    if Path::new(AUTHORITIES).is_file() {
        files.push(SeedFile::copy(AUTHORITIES, AUTHORITIES));
    }
    files
}

/// The first of `texts` with servers that a machine can reach: those on this host's loopback it cannot.
fn resolv(texts: &[String]) -> String {
    let servers = texts.iter().map(|text| servers(text));
    let servers = servers
        .into_iter()
        .find(|found| !found.is_empty())
        .unwrap_or_default();
    let head = "# The name servers of the host, as they were when this machine was booted by `floe`.\n";
    let lines = servers.iter().map(|server| format!("nameserver {server}\n"));
    std::iter::once(head.to_owned()).chain(lines).collect()
}

fn servers(text: &str) -> Vec<IpAddr> {
    let named = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = named.filter_map(|rest| rest.trim().parse::<IpAddr>().ok());
    // Machines have addresses of IPv4 alone.
    addresses
        .filter(|server| server.is_ipv4() && !server.is_loopback())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_on_loopback_are_replaced_by_those_behind_them() {
        let texts = |etc: &str, run: &str| resolv(&[etc.to_owned(), run.to_owned()]);
        let stub = "# stub\nnameserver 127.0.0.53\noptions edns0\n";
        let behind = texts(stub, "nameserver 192.0.2.53\nnameserver 2001:db8::53\n");
        assert!(behind.ends_with("\nnameserver 192.0.2.53\n"), "{behind}");
        let plain = texts(
            "search lan\nnameserver\t192.0.2.1\nnameserver 192.0.2.2\n",
            "nameserver 192.0.2.53\n",
        );
        assert!(
            plain.ends_with("\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"),
            "{plain}"
        );
        assert!(!texts(stub, "").contains("\nnameserver"));
    }
}
