//! The configuration of `portmap`, with upstream's keys.

use std::net::IpAddr;

use cni_plugins_nft::Protocol;
use cni_plugins_spec::{Call, CniError, ErrorCode};
use serde::Deserialize;

/// The highest bit of a packet's mark.
const MAX_MARK_BIT: i64 = 31;

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    snat: Option<bool>,
    masq_all: bool,
    conditions_v4: Option<Vec<String>>,
    conditions_v6: Option<Vec<String>>,
    mark_masq_bit: Option<i64>,
    external_set_mark_chain: Option<String>,
    backend: Option<String>,
    runtime_config: RawRuntime,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawRuntime {
    port_mappings: Vec<RawMapping>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMapping {
    host_port: i64,
    container_port: i64,
    #[serde(default)]
    protocol: String,
    #[serde(rename = "hostIP", default)]
    host_ip: String,
}

/// A port of the node that leads to one of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mapping {
    pub(crate) host_port: u16,
    pub(crate) container_port: u16,
    pub(crate) protocol: Protocol,
    /// The one address of the node; all of them where absent, all of a family where unspecified.
    pub(crate) host_ip: Option<IpAddr>,
}

/// Whose packets get the node's address as their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Masquerade {
    /// Nobody's (`snat: false`).
    Nobody,
    /// Those that could not be answered otherwise: of the container itself, and of the node's loopback.
    Needed,
    /// Everybody's (`masqAll`).
    All,
}

/// What `portmap` is told, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) masquerade: Masquerade,
    /// What a packet of IPv4 must be besides, in nft's language.
    pub(crate) conditions4: String,
    pub(crate) conditions6: String,
    pub(crate) mappings: Vec<Mapping>,
}

impl Settings {
    /// Reads them from a call.
    ///
    /// # Errors
    ///
    /// Names a key that is wrong.
    pub(crate) fn read(call: &Call) -> Result<Self, CniError> {
        let raw: Raw = call.settings()?;
        supported(&raw)?;
        let wrong = |problem: String| {
            CniError::config(format!(
                "the configuration of plugin \"portmap\" is wrong: {problem}"
            ))
        };
        let mappings = raw.runtime_config.port_mappings.iter().map(mapping);
        Ok(Self {
            masquerade: match raw.snat {
                Some(false) => Masquerade::Nobody,
                _ if raw.masq_all => Masquerade::All,
                _ => Masquerade::Needed,
            },
            conditions4: conditions("conditionsV4", raw.conditions_v4.as_deref()).map_err(wrong)?,
            conditions6: conditions("conditionsV6", raw.conditions_v6.as_deref()).map_err(wrong)?,
            mappings: mappings.collect::<Result<_, _>>().map_err(wrong)?,
        })
    }
}

/// Refuses another backend. The keys that tell iptables how to mark what is masqueraded are checked as
/// upstream does and have no effect: no mark is needed, and networks of others have them.
fn supported(raw: &Raw) -> Result<(), CniError> {
    if let Some(backend) = raw.backend.as_deref().filter(|backend| *backend != "nftables") {
        let msg = format!("backend {backend:?} is not there: portmap uses nftables");
        return Err(CniError::new(ErrorCode::UnsupportedField, msg));
    }
    match raw.mark_masq_bit {
        Some(_) if raw.external_set_mark_chain.is_some() => Err(CniError::config(
            "externalSetMarkChain and markMasqBit exclude each other",
        )),
        Some(bit) if !(0..=MAX_MARK_BIT).contains(&bit) => Err(CniError::config(format!(
            "markMasqBit {bit} is not between 0 and {MAX_MARK_BIT}"
        ))),
        _ => Ok(()),
    }
}

fn conditions(key: &str, words: Option<&[String]>) -> Result<String, String> {
    let text = words.unwrap_or_default().join(" ");
    if text.contains(|letter: char| letter.is_control() || ";#".contains(letter)) {
        return Err(format!("{key} {text:?} is no condition of one rule"));
    }
    Ok(text)
}

fn mapping(raw: &RawMapping) -> Result<Mapping, String> {
    let port = |what: &str, number: i64| {
        let valid = u16::try_from(number).ok().filter(|number| *number > 0);
        valid.ok_or_else(|| format!("{what} {number} is not between 1 and 65535"))
    };
    let protocol = raw.protocol.to_ascii_lowercase();
    let known = Protocol::ALL.into_iter().find(|known| known.name() == protocol);
    let host_ip = Some(raw.host_ip.as_str()).filter(|text| !text.is_empty());
    Ok(Mapping {
        host_port: port("hostPort", raw.host_port)?,
        container_port: port("containerPort", raw.container_port)?,
        protocol: known.ok_or_else(|| format!("protocol {:?} is none of tcp, udp, sctp", raw.protocol))?,
        host_ip: host_ip
            .map(str::parse)
            .transpose()
            .map_err(|_| format!("hostIP {:?} is no address", raw.host_ip))?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use cni_plugins_spec::Environment;
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn call(extra: Value) -> Call {
        let mut config = json!({"cniVersion": "1.1.0", "name": "pods", "type": "portmap"});
        for (key, value) in extra.as_object().unwrap() {
            config[key] = value.clone();
        }
        let environment = |name: &str| match name {
            "CNI_COMMAND" => Some("ADD".to_owned()),
            "CNI_CONTAINERID" => Some("a".to_owned()),
            "CNI_IFNAME" => Some("eth0".to_owned()),
            "CNI_NETNS" => Some("/run/netns/a".to_owned()),
            "CNI_PATH" => Some("/cni".to_owned()),
            _ => None,
        };
        let environment = Environment::read(environment).unwrap();
        Call::new(environment, config.to_string().as_bytes()).unwrap()
    }

    fn mapped(mapping: Value) -> Result<Settings, CniError> {
        Settings::read(&call(json!({"runtimeConfig": {"portMappings": [mapping]}})))
    }

    #[test]
    fn what_runtimes_say_is_understood() {
        let said = json!({"hostPort": 8080, "containerPort": 80, "protocol": "TCP", "hostIP": ""});
        let settings = mapped(said).unwrap();
        assert_eq!(
            settings.mappings,
            [Mapping {
                host_port: 8080,
                container_port: 80,
                protocol: Protocol::Tcp,
                host_ip: None
            }]
        );
        assert_eq!(settings.masquerade, Masquerade::Needed);
        let none = Settings::read(&call(json!({"snat": false, "masqAll": true, "markMasqBit": 14}))).unwrap();
        assert_eq!((none.masquerade, none.mappings.len()), (Masquerade::Nobody, 0));
        let conditions = json!({"conditionsV4": ["ip", "daddr", "!=", "10.0.0.1"], "conditionsV6": null});
        let settings = Settings::read(&call(conditions)).unwrap();
        assert_eq!(settings.conditions4, "ip daddr != 10.0.0.1");
    }

    #[test]
    fn a_mapping_that_cannot_be_is_named() {
        for (wrong, named) in [
            (
                json!({"hostPort": 0, "containerPort": 80, "protocol": "tcp"}),
                "hostPort 0",
            ),
            (
                json!({"hostPort": 80, "containerPort": 70000, "protocol": "tcp"}),
                "containerPort 70000",
            ),
            (
                json!({"hostPort": 80, "containerPort": 80, "protocol": "icmp"}),
                "\"icmp\"",
            ),
            (
                json!({"hostPort": 80, "containerPort": 80, "protocol": "udp", "hostIP": "all"}),
                "\"all\"",
            ),
        ] {
            let error = mapped(wrong).unwrap_err();
            assert!(error.msg.contains(named), "{error}");
        }
    }

    #[test]
    fn another_backend_and_its_conditions_are_refused() {
        for (key, value, code) in [
            ("backend", json!("iptables"), ErrorCode::UnsupportedField),
            ("markMasqBit", json!(32), ErrorCode::InvalidNetworkConfig),
            (
                "conditionsV4",
                json!(["-d", "1.2.3.4\ndrop"]),
                ErrorCode::InvalidNetworkConfig,
            ),
        ] {
            let error = Settings::read(&call(json!({ key: value }))).unwrap_err();
            assert_eq!(error.code, code, "{key}: {error}");
        }
        Settings::read(&call(json!({"externalSetMarkChain": "KUBE-MARK-MASQ"}))).unwrap();
    }
}
