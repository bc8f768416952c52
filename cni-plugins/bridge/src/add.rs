//! ADD.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;

use cni_plugins_netlink::{Link, Netlink, RouteSpec, Veth};
use cni_plugins_nft::Masquerade;
use cni_plugins_spec::{Call, CniError, ErrorCode, Interface, IpConfig, Route, Success};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::names;
use crate::settings::Settings;
use crate::sysctl;

/// Everything ADD works with.
pub(crate) struct Add<'a> {
    pub(crate) call: &'a Call,
    pub(crate) settings: &'a Settings,
    pub(crate) netns: &'a Path,
    pub(crate) host: &'a Netlink,
}

impl Add<'_> {
    /// Makes the bridge where there is none, and brings it up.
    pub(crate) async fn bridge(&self) -> Result<Link, CniError> {
        let name = &self.settings.bridge;
        if let Some(link) = self.host.link(name).await.map_err(system)? {
            return self.usable(link).await;
        }
        match self.host.add_bridge(name, self.settings.mtu).await {
            // Another ADD at the same time made it.
            Err(e) if !e.is_exists() => return Err(system(e)),
            _ => {}
        }
        let vanished = || {
            CniError::new(
                ErrorCode::TryAgainLater,
                format!("bridge {name} vanished as it was made"),
            )
        };
        let link = self.host.link(name).await.map_err(system)?.ok_or_else(vanished)?;
        // Without an address of its own a bridge takes that of a port, and changes it with the ports.
        self.host.set_mac(link.index, &link.mac).await.map_err(system)?;
        sysctl::no_router_advertisements(name)?;
        self.usable(link).await
    }

    async fn usable(&self, link: Link) -> Result<Link, CniError> {
        if link.kind != "bridge" {
            let msg = format!(
                "link {} is there already, but it is a {} and no bridge",
                link.name, link.kind
            );
            return Err(CniError::config(msg));
        }
        if !link.up {
            self.host.set_up(link.index).await.map_err(system)?;
        }
        Ok(link)
    }

    /// Makes the pair and everything in the container, as `ipam` says; the bridge's addresses too.
    pub(crate) async fn connect(&self, bridge: &Link, ipam: Success) -> Result<Success, CniError> {
        let port = self.pair(bridge).await?;
        let pod = self.enter(ipam.ips.iter().any(|ip| ip.address.addr().is_ipv4()))?;
        let ifname = &self.call.environment.ifname;
        let gone = || {
            CniError::new(
                ErrorCode::SYSTEM,
                format!("{ifname} vanished from {}", self.netns.display()),
            )
        };
        let link = pod.link(ifname).await.map_err(system)?.ok_or_else(gone)?;
        for ip in &ipam.ips {
            pod.add_address(link.index, ip.address).await.map_err(system)?;
        }
        // Both ends are up before routes: a route through a link that is down is refused.
        pod.set_up(link.index).await.map_err(system)?;
        let routes = self.routes(&ipam);
        for route in &routes {
            pod.add_route(link.index, &spec(route, &ipam.ips))
                .await
                .map_err(system)?;
        }
        self.gateway(bridge, &ipam.ips).await?;
        self.masquerade(&ipam.ips)?;
        Ok(self.result(bridge, &port, &link, Success { routes, ..ipam }))
    }

    async fn pair(&self, bridge: &Link) -> Result<Link, CniError> {
        let environment = &self.call.environment;
        let name = names::host_name(&environment.container_id, &environment.ifname);
        let alias = names::alias(
            &self.call.net.name,
            &environment.container_id,
            &environment.ifname,
        );
        let netns = File::open(self.netns).map_err(|e| {
            CniError::new(
                ErrorCode::UnknownContainer,
                format!("open network namespace {}: {e}", self.netns.display()),
            )
        })?;
        let veth = Veth {
            name: &name,
            controller: bridge.index,
            peer: &environment.ifname,
            peer_netns: netns.as_fd(),
            mtu: self.settings.mtu,
        };
        match self.host.add_veth(&veth).await {
            // Our end may be left from an ADD that was cut off; the container's end was not ours to take.
            Err(e) if e.is_exists() => self.replace(&veth).await?,
            made => made.map_err(system)?,
        }
        let vanished = || CniError::new(ErrorCode::SYSTEM, format!("link {name} vanished as it was made"));
        let port = self
            .host
            .link(&name)
            .await
            .map_err(system)?
            .ok_or_else(vanished)?;
        self.host.set_up_as(port.index, &alias).await.map_err(system)?;
        if self.settings.hairpin_mode {
            self.host.set_hairpin(port.index).await.map_err(system)?;
        }
        Ok(port)
    }

    async fn replace(&self, veth: &Veth<'_>) -> Result<(), CniError> {
        if let Some(old) = self.host.link(veth.name).await.map_err(system)? {
            self.host.delete(old.index).await.map_err(system)?;
        }
        self.host.add_veth(veth).await.map_err(system)
    }

    /// A connection into the container, with the settings of its end made before that is up.
    fn enter(&self, v4: bool) -> Result<Netlink, CniError> {
        let ifname = &self.call.environment.ifname;
        let (settled, pod) = Netlink::open_in_after(self.netns, || {
            sysctl::no_router_advertisements(ifname)?;
            if v4 { sysctl::announce(ifname) } else { Ok(()) }
        })
        .map_err(system)?;
        settled.map(|()| pod)
    }

    /// The routes of the address plugin, and the default routes where the bridge is to be one.
    fn routes(&self, ipam: &Success) -> Vec<Route> {
        let mut routes = ipam.routes.clone();
        if self.settings.is_default_gateway {
            for ip in &ipam.ips {
                let any = if ip.address.addr().is_ipv4() {
                    any_v4()
                } else {
                    any_v6()
                };
                if !routes.iter().any(|route| route.dst == any) {
                    routes.push(Route::new(any, ip.gateway));
                }
            }
        }
        routes
    }

    async fn gateway(&self, bridge: &Link, ips: &[IpConfig]) -> Result<(), CniError> {
        if !self.settings.is_gateway {
            return Ok(());
        }
        let has = self.host.addresses(bridge.index).await.map_err(system)?;
        for ip in ips {
            let Some(address) = gateway(ip) else { continue };
            if has.contains(&address) {
                continue;
            }
            if let Some(other) = has
                .iter()
                .find(|has| has.contains(&address.addr()) && !self.settings.force_address)
            {
                let msg = format!(
                    "bridge {} has address {other} where {address} is wanted",
                    bridge.name
                );
                return Err(CniError::config(msg).with_details("remove it, or set \"forceAddress\""));
            }
            self.host
                .add_address(bridge.index, address)
                .await
                .map_err(system)?;
        }
        let any = |v4: bool| ips.iter().any(|ip| ip.address.addr().is_ipv4() == v4);
        sysctl::forward(any(true), any(false))
    }

    fn masquerade(&self, ips: &[IpConfig]) -> Result<(), CniError> {
        match masquerade(self.call, self.settings, ips) {
            Some(wanted) => cni_plugins_nft::apply(&wanted).map_err(|e| CniError::system(&e)),
            None => Ok(()),
        }
    }

    fn result(&self, bridge: &Link, port: &Link, link: &Link, ipam: Success) -> Success {
        let interface = |link: &Link, sandbox: &str| Interface {
            name: link.name.clone(),
            mac: link.mac_text(),
            mtu: Some(link.mtu),
            sandbox: sandbox.to_owned(),
            ..Interface::default()
        };
        let ips = ipam
            .ips
            .into_iter()
            .map(|ip| IpConfig {
                interface: Some(2),
                ..ip
            })
            .collect();
        let dns = if self.call.net.dns == Default::default() {
            ipam.dns
        } else {
            self.call.net.dns.clone()
        };
        let sandbox = self.netns.to_string_lossy();
        let interfaces = vec![
            interface(bridge, ""),
            interface(port, ""),
            interface(link, &sandbox),
        ];
        Success {
            interfaces,
            ips,
            routes: ipam.routes,
            dns,
        }
    }
}

/// What must be masqueraded for containers with `ips`, if anything.
pub(crate) fn masquerade(call: &Call, settings: &Settings, ips: &[IpConfig]) -> Option<Masquerade> {
    if !settings.ip_masq || ips.is_empty() {
        return None;
    }
    let sources = ips.iter().map(|ip| ip.address.trunc()).collect();
    Some(Masquerade {
        network: call.net.name.clone(),
        sources,
        except: settings.masquerade_except.clone(),
    })
}

/// The gateway as the bridge's address.
pub(crate) fn gateway(ip: &IpConfig) -> Option<IpNet> {
    IpNet::new(ip.gateway?, ip.address.prefix_len()).ok()
}

/// A route without a gateway of its own goes through the gateway of the address of its family.
pub(crate) fn spec(route: &Route, ips: &[IpConfig]) -> RouteSpec {
    let family = |ip: &IpAddr| ip.is_ipv4() == route.dst.addr().is_ipv4();
    let gateway = route
        .gw
        .or_else(|| ips.iter().filter_map(|ip| ip.gateway).find(family));
    RouteSpec {
        dst: route.dst,
        gateway,
        mtu: route.mtu,
        advmss: route.advmss,
        priority: route.priority,
        table: route.table,
    }
}

fn any_v4() -> IpNet {
    IpNet::V4(Ipv4Net::default())
}

fn any_v6() -> IpNet {
    IpNet::V6(Ipv6Net::default())
}

pub(crate) fn system(error: cni_plugins_netlink::NetlinkError) -> CniError {
    CniError::system(&error)
}
