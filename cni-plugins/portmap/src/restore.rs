//! Puts back what others took out of the ruleset.

use cni_plugins_spec::{Call, CniError, Environment, NetConf};
use serde_json::Value;

use crate::plan;
use crate::plugin::{Attachment, open_loopback};
use crate::settings::Settings;
use crate::table::Table;

/// An attachment that a runtime holds, with what its ADD was asked with and the result in `prevResult`.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The container.
    pub container_id: String,
    /// Its interface.
    pub ifname: String,
    /// `CNI_ARGS`.
    pub args: String,
    /// The configuration that the plugin was called with.
    pub config: Value,
}

impl Held {
    /// What is to be there for it. One that ADD would refuse was made by another plugin of that name, and is
    /// no reason to leave the others alone.
    fn read(self) -> Result<(Settings, Attachment), CniError> {
        let call = self.call()?;
        let settings = Settings::read(&call)?;
        let result = call.prev_result()?.unwrap_or_default();
        let attachment = Attachment::of(&call, &settings, &result);
        Ok((settings, attachment))
    }

    fn call(self) -> Result<Call, CniError> {
        let environment = Environment::read(|name| match name {
            // The command that needs no namespace; nobody is asked it.
            "CNI_COMMAND" => Some("DEL".to_owned()),
            "CNI_CONTAINERID" => Some(self.container_id.clone()),
            "CNI_IFNAME" => Some(self.ifname.clone()),
            "CNI_ARGS" => Some(self.args.clone()),
            "CNI_PATH" => Some("/".to_owned()),
            _ => None,
        })?;
        Ok(Call {
            environment,
            net: NetConf::parse(&self.config)?,
            config: self.config,
        })
    }
}

/// Puts back what is missing of the host ports of `network`, and says whether anything was. `held` is
/// asked once nobody else changes them any more, and gives the newest first: of two that have the same
/// port it is the newer's. Blocks.
///
/// # Errors
///
/// When the ruleset cannot be read or changed.
pub fn restore(network: &str, held: impl FnOnce() -> Vec<Held>) -> Result<bool, CniError> {
    let mut table = Table::lock(network)?;
    let mut wanted = Vec::new();
    let mut newest = None;
    for (settings, attachment) in held().into_iter().filter_map(|held| held.read().ok()) {
        if attachment.elements.is_empty() {
            continue;
        }
        open_loopback(&settings, &attachment.addresses)?;
        wanted.extend(attachment.elements);
        newest.get_or_insert(settings);
    }
    let Some(settings) = newest else { return Ok(false) };
    let rebuilt = table.ensure(&settings)?;
    let changes = plan::missing(&table.elements()?, wanted);
    table.change(&changes)?;
    Ok(rebuilt || !changes.is_empty())
}
