//! The configuration on stdin: what every plugin has in common.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::env::{IDENTIFIER, is_identifier};
use crate::error::{CniError, ErrorCode};
use crate::result::Dns;
use crate::version::Version;

/// An attachment that GC must keep (CNI 1.1.0, §2 "GC").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ValidAttachment {
    /// The container.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Its interface.
    pub ifname: String,
}

/// Keys with a meaning in every plugin (CNI 1.1.0, §1 "Plugin configuration objects").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetConf {
    /// Version in which the plugin is asked and answers.
    #[serde(default = "oldest")]
    pub cni_version: Version,
    /// Name of the network.
    #[serde(default)]
    pub name: String,
    /// Name of the plugin's executable.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Configuration of the address plugin, delegated to as it is.
    #[serde(default)]
    pub ipam: Map<String, Value>,
    /// DNS settings that the result takes over.
    #[serde(default)]
    pub dns: Dns,
    /// Result of the plugin before this one, or of ADD.
    #[serde(default)]
    pub prev_result: Option<Value>,
    /// Values of the capabilities the plugin declared.
    #[serde(default)]
    pub runtime_config: Map<String, Value>,
    /// Attachments that GC must keep; absent outside GC.
    #[serde(rename = "cni.dev/valid-attachments", default)]
    pub valid_attachments: Option<Vec<ValidAttachment>>,
}

/// A configuration without a version is 0.1.0, which is not supported; upstream's plugins read
/// 0.3.x results from it, and so do these.
fn oldest() -> Version {
    Version::V0_3_1
}

impl NetConf {
    /// Reads the common keys of a configuration.
    ///
    /// # Errors
    ///
    /// When it is no JSON object of that shape, its version is not supported, or its name is missing.
    pub fn parse(config: &Value) -> Result<Self, CniError> {
        if let Some(version) = config.get("cniVersion").and_then(Value::as_str) {
            version.parse::<Version>()?;
        }
        let parsed: Self = serde_json::from_value(config.clone()).map_err(|e| {
            CniError::new(
                ErrorCode::Decode,
                format!("the network configuration is malformed: {e}"),
            )
        })?;
        if is_identifier(&parsed.name) {
            Ok(parsed)
        } else {
            Err(CniError::config(format!(
                "the network's name {:?} {IDENTIFIER}",
                parsed.name
            )))
        }
    }
}
