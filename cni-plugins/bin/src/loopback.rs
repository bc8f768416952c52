//! `loopback`: brings a container's `lo` up.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cni_plugins_netlink::{Netlink, NetlinkError};
use cni_plugins_spec::{Call, CniError, ErrorCode, Interface, IpConfig, Plugin, Success};
use ipnet::IpNet;

/// The interface that every namespace has.
const LO: &str = "lo";

/// `loopback`; whatever interface the runtime names, it is `lo`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Loopback;

impl Plugin for Loopback {
    fn add(&self, call: &Call) -> Result<Success, CniError> {
        let netns = call.netns()?;
        block_on(async {
            let pod = Netlink::open_in(netns).map_err(system)?;
            let link = pod.link(LO).await.map_err(system)?.ok_or_else(gone)?;
            pod.set_up(link.index).await.map_err(system)?;
            if let Some(before) = call.prev_result()? {
                return Ok(before);
            }
            let sandbox = netns.to_string_lossy().into_owned();
            let lo = Interface {
                name: LO.to_owned(),
                mac: link.mac_text(),
                sandbox,
                ..Interface::default()
            };
            let own = |ip: IpAddr, prefix| IpNet::new(ip, prefix).ok();
            let has = pod.addresses(link.index).await.map_err(system)?;
            let local = [
                own(Ipv4Addr::LOCALHOST.into(), 8),
                own(Ipv6Addr::LOCALHOST.into(), 128),
            ];
            let ips = local.into_iter().flatten().filter(|ip| has.contains(ip));
            let ips = ips
                .map(|address| IpConfig {
                    interface: Some(0),
                    address,
                    gateway: None,
                })
                .collect();
            Ok(Success {
                interfaces: vec![lo],
                ips,
                ..Success::default()
            })
        })
    }

    /// `lo` ends with its namespace.
    fn del(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let netns = call.netns()?;
        block_on(async {
            let pod = Netlink::open_in(netns).map_err(system)?;
            let link = pod.link(LO).await.map_err(system)?.ok_or_else(gone)?;
            if link.up {
                Ok(())
            } else {
                Err(CniError::new(ErrorCode::CHECK_FAILED, "lo is down"))
            }
        })
    }

    fn gc(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }

    fn status(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }
}

fn system(error: NetlinkError) -> CniError {
    CniError::system(&error)
}

fn gone() -> CniError {
    CniError::new(ErrorCode::SYSTEM, "the namespace has no lo")
}

fn block_on<T>(work: impl Future<Output = Result<T, CniError>>) -> Result<T, CniError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime
        .map_err(|e| CniError::new(ErrorCode::SYSTEM, format!("start the event loop: {e}")))?
        .block_on(work)
}
