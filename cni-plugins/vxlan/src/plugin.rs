//! The plugin.

use std::future::Future;

use cni_plugins_netlink::{Links as _, Netlink, OVERHEAD};
use cni_plugins_spec::{Call, CniError, ErrorCode, Plugin, Success};

use crate::device;
use crate::settings::Settings;

/// `vxlan`: sees to the node's end of the overlay.
#[derive(Debug, Clone, Copy, Default)]
pub struct VxlanPlugin;

impl Plugin for VxlanPlugin {
    fn add(&self, call: &Call) -> Result<Success, CniError> {
        let settings = Settings::read(call)?;
        let result = call.prev_result()?.ok_or_else(unchained)?;
        block_on(async {
            let host = Netlink::open().map_err(device::system)?;
            device::ensure(&host, &settings).await
        })?;
        Ok(result)
    }

    /// The device is the node's, not the container's.
    fn del(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let settings = Settings::read(call)?;
        call.prev_result()?.ok_or_else(unchained)?;
        let difference = block_on(async {
            let host = Netlink::open().map_err(device::system)?;
            device::difference(&host, &settings).await
        })?;
        match difference {
            None => Ok(()),
            Some(what) => Err(CniError::new(
                ErrorCode::CHECK_FAILED,
                format!("device {} is not as ADD left it: {what}", settings.device),
            )),
        }
    }

    /// Nothing on the device belongs to a container.
    fn gc(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        let settings = Settings::read(call)?;
        block_on(async {
            let host = Netlink::open().map_err(device::system)?;
            ready(&host, &settings).await
        })
    }
}

/// What ADD needs of the node.
async fn ready(host: &Netlink, settings: &Settings) -> Result<(), CniError> {
    let refuse =
        |msg: String, advice: &str| Err(CniError::new(ErrorCode::NotAvailable, msg).with_details(advice));
    let tables = host.tables().await.map_err(device::system)?;
    let node = settings.site.node;
    let Some(uplink) = tables.with_address(node) else {
        return refuse(
            format!("no link has this node's address {node}"),
            "configure the address, or correct \"local\"",
        );
    };
    if !uplink.up {
        return refuse(
            format!("link {} with this node's address {node} is down", uplink.name),
            "bring it up",
        );
    }
    if let Some(mtu) = settings
        .mtu
        .filter(|mtu| *mtu > device::mtu_by_uplink(Some(uplink)))
    {
        return refuse(
            format!(
                "packets of {mtu} bytes do not fit into those of {} of link {} with the {OVERHEAD} that VXLAN adds",
                uplink.mtu, uplink.name
            ),
            "lower \"mtu\"",
        );
    }
    match tables.named(&settings.device) {
        Some(link) if link.vxlan.is_none() => refuse(
            format!(
                "link {} is a {} and no VXLAN device",
                link.name,
                link.kind_or_physical()
            ),
            "rename or delete it",
        ),
        _ => Ok(()),
    }
}

fn unchained() -> CniError {
    CniError::config(
        "vxlan gives no addresses: put it behind a plugin that does, such as bridge, in a \"plugins\" list",
    )
}

fn block_on<T>(work: impl Future<Output = Result<T, CniError>>) -> Result<T, CniError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime
        .map_err(|e| CniError::new(ErrorCode::SYSTEM, format!("start the event loop: {e}")))?
        .block_on(work)
}
