//! The configuration of `bridge`.

use cni_plugins_spec::{Call, CniError, ErrorCode};
use ipnet::IpNet;
use serde::Deserialize;

/// Keys as upstream's plugin has them, and `masqueradeExcept`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Name of the bridge.
    #[serde(default = "default_bridge")]
    pub bridge: String,
    /// Give the bridge the gateway's address and let the node forward.
    #[serde(default)]
    pub is_gateway: bool,
    /// Make the bridge the container's default route.
    #[serde(default)]
    pub is_default_gateway: bool,
    /// Replace an address of the bridge that does not fit.
    #[serde(default)]
    pub force_address: bool,
    /// Masquerade what leaves the network.
    #[serde(default)]
    pub ip_masq: bool,
    /// Destinations that are not masqueraded, such as the pods of other nodes (a key of our own).
    #[serde(default)]
    pub masquerade_except: Vec<IpNet>,
    /// MTU of the bridge and the links; the kernel's default where absent.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Let a container reach itself through the node.
    #[serde(default)]
    pub hairpin_mode: bool,
    #[serde(default)]
    promisc_mode: bool,
    #[serde(default)]
    vlan: Option<u32>,
    #[serde(default)]
    macspoofchk: bool,
}

fn default_bridge() -> String {
    "cni0".to_owned()
}

impl Settings {
    /// Reads them from a call.
    ///
    /// # Errors
    ///
    /// Names a key that is wrong, or that upstream's plugin has and this one does not support.
    pub fn read(call: &Call) -> Result<Self, CniError> {
        let mut settings: Self = call.settings()?;
        settings.is_gateway |= settings.is_default_gateway;
        settings.mtu = settings.mtu.filter(|mtu| *mtu > 0);
        let unsupported = [
            ("promiscMode", settings.promisc_mode),
            ("vlan", settings.vlan.is_some_and(|vlan| vlan != 0)),
            ("macspoofchk", settings.macspoofchk),
        ];
        if let Some((key, _)) = unsupported.iter().find(|(_, used)| *used) {
            return Err(CniError::new(
                ErrorCode::UnsupportedField,
                format!("bridge does not support {key:?}"),
            ));
        }
        if settings.bridge.is_empty() || settings.bridge.len() > 15 || settings.bridge.contains(['/', ' ']) {
            return Err(CniError::config(format!(
                "{:?} cannot be the name of a bridge",
                settings.bridge
            )));
        }
        Ok(settings)
    }
}
