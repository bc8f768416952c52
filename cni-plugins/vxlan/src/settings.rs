//! The configuration of `vxlan`.

use std::net::Ipv4Addr;

use cni_plugins_netlink::Site;
use cni_plugins_spec::{Call, CniError};
use ipnet::Ipv4Net;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// VNIs have 24 bits.
const MAX_VNI: u32 = (1 << 24) - 1;
/// The least that IPv6 asks of a link.
const MIN_MTU: u32 = 1280;

/// The file as written: any other key is refused.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    #[serde(default = "default_device")]
    device: String,
    #[serde(default = "default_vni")]
    vni: u32,
    #[serde(default = "default_port")]
    port: u16,
    local: Ipv4Addr,
    subnet: Ipv4Net,
    #[serde(default)]
    mtu: Option<u32>,
    // Keys of every plugin, read elsewhere.
    #[serde(rename = "cniVersion", default)]
    _version: IgnoredAny,
    #[serde(rename = "name", default)]
    _name: IgnoredAny,
    #[serde(rename = "type", default)]
    _kind: IgnoredAny,
    #[serde(rename = "prevResult", default)]
    _prev_result: IgnoredAny,
    #[serde(rename = "runtimeConfig", default)]
    _runtime_config: IgnoredAny,
    #[serde(rename = "capabilities", default)]
    _capabilities: IgnoredAny,
    #[serde(rename = "args", default)]
    _args: IgnoredAny,
    #[serde(rename = "dns", default)]
    _dns: IgnoredAny,
    #[serde(rename = "cni.dev/valid-attachments", default)]
    _valid: IgnoredAny,
    #[serde(rename = "cni.dev/attachments", default)]
    _attachments: IgnoredAny,
}

fn default_device() -> String {
    "floe.vx".to_owned()
}

fn default_vni() -> u32 {
    42
}

fn default_port() -> u16 {
    8472
}

/// What `vxlan` is told, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the device.
    pub device: String,
    /// The VXLAN network identifier.
    pub vni: u32,
    /// UDP port, here and at the other nodes.
    pub port: u16,
    /// This node: its pods' subnet and the address at which other nodes reach it.
    pub site: Site,
    /// MTU of the device; what the link with the node's address leaves where absent.
    pub mtu: Option<u32>,
}

impl Settings {
    /// Reads them from a call.
    ///
    /// # Errors
    ///
    /// Names a key that is missing, wrong or unknown.
    pub fn read(call: &Call) -> Result<Self, CniError> {
        let raw: Raw = call.settings()?;
        check(&raw).map_err(|problem| {
            CniError::config(format!(
                "the configuration of plugin \"vxlan\" is wrong: {problem}"
            ))
        })?;
        Ok(Self {
            device: raw.device,
            vni: raw.vni,
            port: raw.port,
            site: Site {
                subnet: raw.subnet,
                node: raw.local,
            },
            mtu: raw.mtu.filter(|mtu| *mtu > 0),
        })
    }
}

fn check(raw: &Raw) -> Result<(), String> {
    let Raw {
        device, vni, port, ..
    } = raw;
    if device.is_empty()
        || device.len() > 15
        || device.contains(['/', ':'])
        || device.contains(char::is_whitespace)
    {
        return Err(format!("device {device:?} cannot be the name of a link"));
    }
    if *vni == 0 || *vni > MAX_VNI {
        return Err(format!("vni {vni} is not between 1 and {MAX_VNI}"));
    }
    if *port == 0 {
        return Err("port 0 is no port".to_owned());
    }
    if raw.subnet != raw.subnet.trunc() || raw.subnet.prefix_len() > 30 {
        return Err(format!("subnet {} is no network with room for pods", raw.subnet));
    }
    if raw.local.is_unspecified() || raw.local.is_loopback() || raw.local.is_multicast() {
        return Err(format!(
            "local {} is no address at which other nodes reach this one",
            raw.local
        ));
    }
    match raw.mtu {
        Some(mtu) if mtu != 0 && !(MIN_MTU..=65_535).contains(&mtu) => {
            Err(format!("mtu {mtu} is not between {MIN_MTU} and 65535"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use cni_plugins_spec::Environment;
    use serde_json::{Value, json};

    use super::*;

    fn read(extra: Value) -> Result<Settings, CniError> {
        let mut config = json!({
            "cniVersion": "1.1.0", "name": "floe", "type": "vxlan",
            "local": "192.0.2.1", "subnet": "10.42.1.0/24",
        });
        for (key, value) in extra.as_object().unwrap() {
            config[key] = value.clone();
        }
        let environment = |name: &str| match name {
            "CNI_COMMAND" => Some("STATUS".to_owned()),
            "CNI_PATH" => Some("/cni".to_owned()),
            _ => None,
        };
        let environment = Environment::read(environment)?;
        Settings::read(&Call::new(environment, config.to_string().as_bytes())?)
    }

    #[test]
    fn what_is_not_said_has_the_documented_default() {
        let settings = read(json!({"prevResult": {}, "runtimeConfig": {}})).unwrap();
        assert_eq!(
            (
                settings.device.as_str(),
                settings.vni,
                settings.port,
                settings.mtu
            ),
            ("floe.vx", 42, 8472, None)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value) in [
            ("colour", json!(1)),
            ("device", json!("a name that is too long")),
            ("vni", json!(0)),
            ("vni", json!(1 << 24)),
            ("port", json!(0)),
            ("subnet", json!("10.42.1.7/24")),
            ("subnet", json!("fd00::/64")),
            ("local", json!("127.0.0.1")),
            ("mtu", json!(60)),
        ] {
            let error = read(json!({ key: value })).unwrap_err();
            assert!(error.msg.contains("\"vxlan\""), "{key}: {error}");
        }
    }
}
