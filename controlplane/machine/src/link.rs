//! A running machine's link to its bridge, cut and mended.

use std::path::Path;
use std::process::Command;

use crate::{Bridge, Machine, MachineError, run};

const LINKS: &str = "/sys/class/net";

impl Machine {
    /// Takes the machine off its bridge. Its own link stays up, as with a switch that lost the way: nothing
    /// inside is told.
    ///
    /// # Errors
    ///
    /// When it is not running, or `ip` refuses.
    pub fn isolate(&self) -> Result<(), MachineError> {
        run(Command::new("ip").args(["link", "set", "dev", &self.host_link()?, "nomaster"])).map(drop)
    }

    /// Puts the machine back on `bridge`; repeating it is harmless.
    ///
    /// # Errors
    ///
    /// When it is not running, or `ip` refuses.
    pub fn heal(&self, bridge: &Bridge) -> Result<(), MachineError> {
        let link = self.host_link()?;
        run(Command::new("ip").args(["link", "set", "dev", &link, "master", bridge.name()])).map(drop)
    }

    /// Whether the running machine is off its bridge.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.host_link()
            .is_ok_and(|link| !Path::new(LINKS).join(link).join("master").exists())
    }

    /// The host's end of the machine's link. nspawn shortens long names in its own way, so it is looked up by
    /// the number that the machine's end tells.
    fn host_link(&self) -> Result<String, MachineError> {
        let number = self.run(&["cat", "/sys/class/net/host0/iflink"])?;
        let entries = std::fs::read_dir(LINKS).map_err(MachineError::file("list", LINKS))?;
        let is_end = |link: &std::fs::DirEntry| {
            let index = std::fs::read_to_string(link.path().join("ifindex"));
            index.is_ok_and(|index| index.trim() == number.trim())
        };
        entries
            .flatten()
            .find(is_end)
            .and_then(|link| link.file_name().into_string().ok())
            .ok_or_else(|| MachineError::NoLink(self.name().to_owned()))
    }
}
