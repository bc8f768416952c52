//! What goes wrong between the agent and the plugins.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    /// No usable configuration in the folder.
    #[error("find a network configuration in {dir}: {reason}; put a valid .conflist there")]
    NoConfiguration {
        /// The folder.
        dir: PathBuf,
        /// Why none of its files is usable.
        reason: String,
    },
    /// A plugin's executable is not there.
    #[error("find network plugin {plugin:?} in {dirs:?}; install it or change the configuration")]
    PluginMissing {
        /// Type of the plugin.
        plugin: String,
        /// Folders that were searched.
        dirs: Vec<PathBuf>,
    },
    /// A plugin answered with an error of its own.
    #[error("network plugin {plugin} refused {command} for {container_id}: {message} (code {code})")]
    Refused {
        /// Type of the plugin.
        plugin: String,
        /// CNI command.
        command: &'static str,
        /// Container it was for.
        container_id: String,
        /// CNI error code.
        code: u32,
        /// The plugin's own words.
        message: String,
    },
    /// A plugin answered with something that is not CNI.
    #[error("understand network plugin {plugin}'s answer to {command}: {problem}")]
    BadAnswer {
        /// Type of the plugin.
        plugin: String,
        /// CNI command.
        command: &'static str,
        /// What is wrong, with the beginning of what it printed.
        problem: String,
    },
    /// A DEL began and never ended.
    #[error("check the network of {container_id}: it is half taken away")]
    Ending {
        /// Container it was for.
        container_id: String,
    },
    /// A plugin did not end in time and was killed.
    #[error("network plugin {plugin} did not answer {command} within {limit:?}")]
    Deadline {
        /// Type of the plugin.
        plugin: String,
        /// CNI command.
        command: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// A system call failed.
    #[error("{attempted}")]
    Io {
        /// What was attempted, and on what.
        attempted: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}
