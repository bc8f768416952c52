//! The `ipam` part of a network configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use cni_plugins_spec::{Call, CniError, Dns, Route};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use crate::range::{Range, RawRange};

const DATA_DIR: &str = "/var/lib/cni/networks";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    ranges: Vec<Vec<RawRange>>,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    data_dir: Option<PathBuf>,
    #[serde(default)]
    resolv_conf: Option<PathBuf>,
    // A single range may stand beside the list, as in upstream's first versions.
    #[serde(default)]
    subnet: Option<IpNet>,
    #[serde(default)]
    range_start: Option<IpAddr>,
    #[serde(default)]
    range_end: Option<IpAddr>,
    #[serde(default)]
    gateway: Option<IpAddr>,
}

/// What `host-local` is told, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// One address is given from each set; a set's ranges are of one family and follow each other.
    pub sets: Vec<Vec<Range>>,
    /// Routes for the result.
    pub routes: Vec<Route>,
    /// Folder of this network's reservations.
    pub folder: PathBuf,
    /// Addresses that the runtime asks for, at most one per set.
    pub requested: Vec<IpAddr>,
    /// A resolv.conf whose settings the result takes over.
    pub resolv_conf: Option<PathBuf>,
}

impl Settings {
    /// Reads them from a call.
    ///
    /// # Errors
    ///
    /// Names what is missing or wrong.
    pub fn read(call: &Call) -> Result<Self, CniError> {
        let wrong =
            |e: serde_json::Error| CniError::config(format!("the configuration of host-local is wrong: {e}"));
        let raw = Raw::deserialize(Value::Object(call.net.ipam.clone())).map_err(wrong)?;
        let from_runtime = call
            .net
            .runtime_config
            .get("ipRanges")
            .cloned()
            .unwrap_or(Value::Array(Vec::new()));
        let mut ranges: Vec<Vec<RawRange>> = serde_json::from_value(from_runtime).map_err(wrong)?;
        ranges.extend(raw.subnet.map(|subnet| {
            vec![RawRange {
                subnet,
                range_start: raw.range_start,
                range_end: raw.range_end,
                gateway: raw.gateway,
            }]
        }));
        ranges.extend(raw.ranges);
        let sets = ranges
            .iter()
            .map(|set| check_set(set))
            .collect::<Result<Vec<_>, _>>()?;
        if sets.is_empty() {
            return Err(CniError::config(
                "the configuration of host-local has neither \"ranges\" nor \"subnet\"",
            ));
        }
        let data_dir = raw.data_dir.unwrap_or_else(|| PathBuf::from(DATA_DIR));
        Ok(Self {
            sets,
            routes: raw.routes,
            folder: data_dir.join(&call.net.name),
            requested: requested(call)?,
            resolv_conf: raw.resolv_conf,
        })
    }

    /// DNS settings for the result.
    ///
    /// # Errors
    ///
    /// When the configured file cannot be read.
    pub fn dns(&self) -> Result<Dns, CniError> {
        let Some(path) = &self.resolv_conf else {
            return Ok(Dns::default());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|e| CniError::config(format!("read resolvConf {}: {e}", path.display())))?;
        let mut words: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let mut parts = line.split_whitespace();
            if let Some(key) = parts.next().filter(|key| !key.starts_with(['#', ';'])) {
                words.entry(key).or_default().extend(parts.map(str::to_owned));
            }
        }
        let mut take = |key| words.remove(key).unwrap_or_default();
        let domain = take("domain").into_iter().next_back().unwrap_or_default();
        Ok(Dns {
            nameservers: take("nameserver"),
            domain,
            search: take("search"),
            options: take("options"),
        })
    }
}

fn check_set(set: &[RawRange]) -> Result<Vec<Range>, CniError> {
    let ranges: Vec<Range> = set
        .iter()
        .map(|raw| {
            Range::check(raw).map_err(|e| CniError::config(format!("a range of host-local is wrong: {e}")))
        })
        .collect::<Result<_, _>>()?;
    let v4 = ranges.iter().filter(|range| range.gateway().is_ipv4()).count();
    match (ranges.len(), v4) {
        (0, _) => Err(CniError::config("a range set of host-local is empty")),
        (all, v4) if v4 != 0 && v4 != all => {
            Err(CniError::config("a range set of host-local mixes IPv4 and IPv6"))
        }
        _ => Ok(ranges),
    }
}

/// Addresses by the `ips` capability, with or without a prefix, or `IP` of `CNI_ARGS`.
fn requested(call: &Call) -> Result<Vec<IpAddr>, CniError> {
    let listed = call
        .net
        .runtime_config
        .get("ips")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let listed = listed
        .filter_map(Value::as_str)
        .chain(call.environment.args.get("IP").map(String::as_str));
    listed
        .map(|raw| {
            let bare = raw.split_once('/').map_or(raw, |(ip, _)| ip);
            bare.parse()
                .map_err(|_| CniError::config(format!("the requested address {raw:?} is none")))
        })
        .collect()
}
