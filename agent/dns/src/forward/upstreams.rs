//! The upstream name servers, and which of them to ask first.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an upstream that gave no answer is asked after all others.
const OUT_OF_FAVOUR: Duration = Duration::from_secs(10);
/// More upstreams than a resolver takes (resolv.conf(5), MAXNS) are not asked either.
const MOST: usize = 3;

/// The upstreams of one state of `resolv.conf`.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    servers: Vec<SocketAddr>,
    failed: Mutex<HashMap<SocketAddr, Instant>>,
}

impl Upstreams {
    /// The name servers in `names`, as `resolv.conf` writes them, without `own`: asking oneself never ends.
    pub(crate) fn new(names: &[String], own: IpAddr) -> Self {
        let parsed = names.iter().filter_map(|name| server(name));
        let servers = parsed.filter(|server| server.ip() != own).take(MOST).collect();
        Self {
            servers,
            failed: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn of(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            failed: Mutex::default(),
        }
    }

    pub(crate) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The upstreams in the order to ask: as configured, those that failed lately last.
    pub(crate) fn in_order(&self, now: Instant) -> Vec<SocketAddr> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut servers = self.servers.clone();
        servers.sort_by_key(|server| {
            failed
                .get(server)
                .filter(|at| **at + OUT_OF_FAVOUR > now)
                .copied()
        });
        servers
    }

    /// Whether every upstream failed lately.
    pub(crate) fn all_failed(&self, now: Instant) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |server| failed.get(server).is_some_and(|at| *at + OUT_OF_FAVOUR > now);
        self.servers.iter().all(lately)
    }

    pub(crate) fn note_failure(&self, server: SocketAddr, now: Instant) {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(server, now);
    }

    pub(crate) fn note_answer(&self, server: SocketAddr) {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&server);
    }
}

/// An address of `resolv.conf`, port 53; a link-local one names its link: `fe80::1%eth0`.
fn server(text: &str) -> Option<SocketAddr> {
    let Some((address, link)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, 53));
    };
    let index = link.parse().ok().or_else(|| {
        let path = std::path::Path::new("/sys/class/net").join(link).join("ifindex");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    })?;
    Some(SocketAddrV6::new(address.parse().ok()?, 53, 0, index).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_server_never_asks_itself() {
        let own = "10.43.0.10".parse().unwrap();
        let upstreams = Upstreams::new(&names(&["10.43.0.10", "192.0.2.1", "no address"]), own);
        assert_eq!(upstreams.servers(), ["192.0.2.1:53".parse().unwrap()]);
    }

    #[test]
    fn who_failed_lately_is_asked_last() {
        let own = "10.43.0.10".parse().unwrap();
        let upstreams = Upstreams::new(&names(&["192.0.2.1", "192.0.2.2", "fe80::1%7"]), own);
        let (first, now) = (upstreams.servers()[0], Instant::now());
        upstreams.note_failure(first, now);
        assert_eq!(upstreams.in_order(now).last(), Some(&first));
        assert!(!upstreams.all_failed(now));
        assert_eq!(upstreams.in_order(now + OUT_OF_FAVOUR).first(), Some(&first));
    }
}
