//! The device: what it should be, and making it so.

use cni_plugins_netlink::{Change, Entry, Link, Links as _, Netlink, OVERHEAD, Vxlan, apply, changes};
use cni_plugins_spec::{CniError, ErrorCode};

use crate::settings::Settings;

/// What an Ethernet link takes where the node's own is not known.
const ETHERNET: u32 = 1500;

/// Makes the device what it should be; what is right already costs two requests.
pub(crate) async fn ensure(host: &Netlink, settings: &Settings) -> Result<(), CniError> {
    if let Some(mtu) = settings.mtu
        && problem(host, &wanted(settings, mtu), settings).await?.is_none()
    {
        return Ok(());
    }
    repair(host, settings).await
}

/// In what the device differs from what it should be, if in anything.
pub(crate) async fn difference(host: &Netlink, settings: &Settings) -> Result<Option<String>, CniError> {
    let mtu = match settings.mtu {
        Some(mtu) => mtu,
        None => mtu_by_uplink(uplink(host, settings).await?.as_ref()),
    };
    problem(host, &wanted(settings, mtu), settings).await
}

/// The link by which other nodes reach this one.
pub(crate) async fn uplink(host: &Netlink, settings: &Settings) -> Result<Option<Link>, CniError> {
    let tables = host.tables().await.map_err(system)?;
    Ok(tables.with_address(settings.site.node).cloned())
}

/// The largest packet that fits into one of the uplink's with VXLAN around it.
pub(crate) fn mtu_by_uplink(uplink: Option<&Link>) -> u32 {
    uplink.map_or(ETHERNET, |link| link.mtu).saturating_sub(OVERHEAD)
}

fn wanted(settings: &Settings, mtu: u32) -> Vxlan {
    Vxlan {
        name: settings.device.clone(),
        vni: settings.vni,
        port: settings.port,
        local: settings.site.node,
        mac: settings.site.mac(),
        mtu,
    }
}

async fn problem(host: &Netlink, device: &Vxlan, settings: &Settings) -> Result<Option<String>, CniError> {
    let Some(link) = host.link(&device.name).await.map_err(system)? else {
        return Ok(Some("it is gone".to_owned()));
    };
    if let Some(mismatch) = device.mismatch(&link) {
        return Ok(Some(mismatch));
    }
    if !link.up {
        return Ok(Some("it is down".to_owned()));
    }
    if link.mtu != device.mtu {
        return Ok(Some(format!("its MTU is {} and not {}", link.mtu, device.mtu)));
    }
    let address = settings.site.address();
    let has = host.addresses(link.index).await.map_err(system)?;
    let found = has.iter().any(|net| net.addr() == address);
    Ok((!found).then(|| format!("it lost its address {address}")))
}

/// Entries of others stay: this plugin does not know who else is programmed.
async fn repair(host: &Netlink, settings: &Settings) -> Result<(), CniError> {
    let tables = host.tables().await.map_err(system)?;
    let mtu = settings
        .mtu
        .unwrap_or_else(|| mtu_by_uplink(tables.with_address(settings.site.node)));
    let device = wanted(settings, mtu);
    let own = [settings.site.own()].into_iter().collect();
    let steps = changes(&device, &own, &tables).map_err(|e| CniError::config(e.to_string()))?;
    let address = |entry: &Entry| matches!(entry, Entry::Address(_));
    let steps: Vec<Change> = steps
        .into_iter()
        .filter(|step| !matches!(step, Change::Unset(entry) if !address(entry)))
        .collect();
    match apply(host, &device.name, &steps).await {
        Ok(()) => Ok(()),
        // Another ADD at the same time, or the agent, made it: what is missing then is little.
        Err(e) if e.is_exists() || e.is_absent() => match problem(host, &device, settings).await? {
            None => Ok(()),
            Some(problem) => Err(CniError::new(
                ErrorCode::TryAgainLater,
                format!(
                    "device {} is being changed: {problem}; {}",
                    device.name,
                    system(e)
                ),
            )),
        },
        Err(e) => Err(system(e)),
    }
}

pub(crate) fn system(error: cni_plugins_netlink::NetlinkError) -> CniError {
    CniError::system(&error)
}
