//! CHECK.

use std::path::Path;

use cni_plugins_netlink::{Link, Netlink};
use cni_plugins_spec::{Call, CniError, ErrorCode, Success};

use crate::add::{gateway, masquerade, spec, system};
use crate::names;
use crate::settings::Settings;

/// Compares links, addresses, routes and rules with what ADD answered.
pub(crate) async fn check(
    call: &Call,
    settings: &Settings,
    netns: &Path,
    made: &Success,
) -> Result<(), CniError> {
    let host = Netlink::open().map_err(system)?;
    let bridge = found(
        host.link(&settings.bridge).await.map_err(system)?,
        &settings.bridge,
    )?;
    let name = names::host_name(&call.environment.container_id, &call.environment.ifname);
    let port = found(host.link(&name).await.map_err(system)?, &name)?;
    expect(port.controller == Some(bridge.index), || {
        format!("{name} is no port of {}", bridge.name)
    })?;
    expect(bridge.up && port.up, || {
        format!("{name} or {} is down", bridge.name)
    })?;
    if settings.is_gateway {
        let has = host.addresses(bridge.index).await.map_err(system)?;
        for address in made.ips.iter().filter_map(gateway) {
            expect(has.contains(&address), || {
                format!("bridge {} lost its address {address}", bridge.name)
            })?;
        }
    }
    check_container(call, netns, made).await?;
    match masquerade(call, settings, &made.ips) {
        Some(wanted) => expect(cni_plugins_nft::is_applied(&wanted), || {
            format!("the masquerade rule of network {} is gone", call.net.name)
        }),
        None => Ok(()),
    }
}

async fn check_container(call: &Call, netns: &Path, made: &Success) -> Result<(), CniError> {
    let pod = Netlink::open_in(netns).map_err(system)?;
    let ifname = &call.environment.ifname;
    let link = found(pod.link(ifname).await.map_err(system)?, ifname)?;
    expect(link.up, || format!("{ifname} is down"))?;
    let has = pod.addresses(link.index).await.map_err(system)?;
    for ip in &made.ips {
        expect(has.contains(&ip.address), || {
            format!("{ifname} lost its address {}", ip.address)
        })?;
    }
    let routes = pod.routes(link.index).await.map_err(system)?;
    for route in &made.routes {
        let wanted = spec(route, &made.ips);
        let there = routes
            .iter()
            .any(|(dst, via)| *dst == wanted.dst && *via == wanted.gateway);
        expect(there, || format!("{ifname} lost its route to {}", route.dst))?;
    }
    Ok(())
}

fn found(link: Option<Link>, name: &str) -> Result<Link, CniError> {
    link.ok_or_else(|| CniError::new(ErrorCode::CHECK_FAILED, format!("link {name} is gone")))
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), CniError> {
    if holds {
        Ok(())
    } else {
        Err(CniError::new(ErrorCode::CHECK_FAILED, otherwise()))
    }
}
