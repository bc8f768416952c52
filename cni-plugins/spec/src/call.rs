//! One call of a plugin.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::NetConf;
use crate::env::Environment;
use crate::error::{CniError, ErrorCode};
use crate::result::Success;

/// Everything a plugin is called with.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The parameters.
    pub environment: Environment,
    /// The keys every plugin has.
    pub net: NetConf,
    /// The whole configuration; the plugin's own keys are read from it.
    pub config: Value,
}

impl Call {
    /// Reads the configuration for a call with `environment`.
    ///
    /// # Errors
    ///
    /// When stdin is no usable configuration.
    pub fn new(environment: Environment, stdin: &[u8]) -> Result<Self, CniError> {
        let config: Value = serde_json::from_slice(stdin).map_err(|e| {
            CniError::new(
                ErrorCode::Decode,
                format!("the network configuration on stdin is no JSON: {e}"),
            )
        })?;
        let net = NetConf::parse(&config)?;
        Ok(Self {
            environment,
            net,
            config,
        })
    }

    /// The plugin's own configuration.
    ///
    /// # Errors
    ///
    /// When a key has the wrong type.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, CniError> {
        T::deserialize(&self.config).map_err(|e| {
            CniError::config(format!(
                "the configuration of plugin {:?} is wrong: {e}",
                self.net.kind
            ))
        })
    }

    /// The network namespace.
    ///
    /// # Errors
    ///
    /// When none was given.
    pub fn netns(&self) -> Result<&Path, CniError> {
        let missing = || CniError::new(ErrorCode::InvalidEnvironment, "CNI_NETNS is missing");
        self.environment.netns.as_deref().ok_or_else(missing)
    }

    /// The result handed in, if any.
    ///
    /// # Errors
    ///
    /// When it is there but malformed.
    pub fn prev_result(&self) -> Result<Option<Success>, CniError> {
        self.net.prev_result.as_ref().map(Success::parse).transpose()
    }
}
