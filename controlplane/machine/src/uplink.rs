//! The way of a cluster's machines to the networks that this host reaches, and of nobody else to them.
//!
//! A table of rules is named after the bridge, so that it is found and removed without memory. Forwarding
//! is switched on for the whole host where it was off: what was found is written down under `/run`, which
//! forgets it with the switch when the host reboots.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::write_file;
use crate::{Bridge, MachineError, Subnet, host, run};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
/// What [`FORWARDING`] was before the first cluster needed it.
const FOUND: &str = "/run/floe-ip_forward";
const LINKS: &str = "/sys/class/net";

/// Lets the machines of `bridge` reach other networks, as this host; repeating it is harmless.
///
/// # Errors
///
/// When `nft` refuses or is not there, or forwarding cannot be switched on.
pub fn open_uplink(bridge: &Bridge, subnet: Subnet) -> Result<(), MachineError> {
    run(Command::new("nft").arg(ruleset(bridge.name(), &subnet.cidr())))?;
    Switch::default().on()
}

/// Takes away what [`open_uplink`] made; does nothing where there is nothing of it. Forwarding is as it was
/// found once no other cluster needs it.
///
/// # Errors
///
/// When `nft` refuses, or forwarding cannot be switched back.
pub fn close_uplink(bridge: &Bridge) -> Result<(), MachineError> {
    let removed = match run(Command::new("nft").arg(removal(bridge.name()))) {
        // Without it there never was a table.
        Err(MachineError::Spawn { .. }) => Ok(()),
        other => other.map(drop),
    };
    let restored = if is_needed_beside(bridge) {
        Ok(())
    } else {
        Switch::default().back()
    };
    removed.and(restored)
}

/// Whether another cluster's machines, or a node on this host itself, need packets to be forwarded.
fn is_needed_beside(bridge: &Bridge) -> bool {
    let links = std::fs::read_dir(LINKS).into_iter().flatten().flatten();
    let mut names = links.filter_map(|link| link.file_name().into_string().ok());
    names.any(|name| name.starts_with(Bridge::PREFIX) && name != bridge.name()) || host::exists()
}

/// The switch of the host, and where it is written down how it was.
struct Switch {
    setting: PathBuf,
    found: PathBuf,
}

impl Default for Switch {
    fn default() -> Self {
        Self {
            setting: FORWARDING.into(),
            found: FOUND.into(),
        }
    }
}

impl Switch {
    fn on(&self) -> Result<(), MachineError> {
        let now =
            std::fs::read_to_string(&self.setting).map_err(MachineError::file("read", &self.setting))?;
        if now.trim() != "0" {
            return Ok(());
        }
        // Written down first: cut off in between nothing has changed.
        write_file(&self.found, now.as_bytes(), 0o600)?;
        set(&self.setting, "1")
    }

    fn back(&self) -> Result<(), MachineError> {
        let Ok(found) = std::fs::read_to_string(&self.found) else {
            return Ok(());
        };
        set(&self.setting, found.trim())?;
        std::fs::remove_file(&self.found).map_err(MachineError::file("remove", &self.found))
    }
}

fn set(setting: &Path, value: &str) -> Result<(), MachineError> {
    std::fs::write(setting, value).map_err(MachineError::file("write", setting))
}

/// Removes the table. It is added first, since deleting what is not there fails.
fn removal(bridge: &str) -> String {
    format!("add table inet {bridge}; delete table inet {bridge}")
}

/// The table made anew, in one transaction. Packets between the machines pass, bridged ones too, where the
/// host shows these to its rules; nobody else begins a connection to a machine, nor one cluster's machines
/// to another's.
fn ruleset(bridge: &str, subnet: &str) -> String {
    let others = format!("{}*", Bridge::PREFIX);
    format!(
        "{};
        table inet {bridge} {{
            chain forward {{
                type filter hook forward priority filter; policy accept;
                iifname \"{bridge}\" oifname \"{bridge}\" accept
                oifname \"{bridge}\" ct state established,related accept comment \"answers to machines\"
                oifname \"{bridge}\" drop comment \"no way in but from this host\"
                iifname \"{bridge}\" oifname \"{others}\" drop comment \"no way between clusters\"
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat; policy accept;
                ip saddr {subnet} oifname != \"{bridge}\" masquerade comment \"machines are seen as this host\"
            }}
        }}",
        removal(bridge)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_is_given_back_as_it_was_found_and_only_once() {
        let place = tempfile::tempdir().unwrap();
        let switch = Switch {
            setting: place.path().join("setting"),
            found: place.path().join("run/found"),
        };
        let now = || std::fs::read_to_string(&switch.setting).unwrap();
        std::fs::write(&switch.setting, "0\n").unwrap();
        switch.on().unwrap();
        switch.on().unwrap();
        assert_eq!(now(), "1");
        switch.back().unwrap();
        assert_eq!(now(), "0");
        // Somebody else has switched it on meanwhile.
        std::fs::write(&switch.setting, "1\n").unwrap();
        switch.back().unwrap();
        switch.on().unwrap();
        switch.back().unwrap();
        assert_eq!(now(), "1\n");
    }

    #[test]
    fn the_kernel_takes_the_table_twice_and_nothing_is_left_of_it() {
        let netns = format!("floe-uplink-{}", std::process::id());
        let ip = |words: &[&str]| {
            Command::new("ip")
                .args(words)
                .output()
                .is_ok_and(|done| done.status.success())
        };
        if !ip(&["netns", "add", &netns]) {
            println!("skipped: needs root and iproute2");
            return;
        }
        let nft = |text: &str| run(Command::new("ip").args(["netns", "exec", &netns, "nft", text]));
        let made =
            [ruleset("flb-a", "10.88.1.0/24"), ruleset("flb-a", "10.88.1.0/24")].map(|text| nft(&text));
        let listed = nft("list ruleset");
        let removed = [removal("flb-a"), removal("flb-a")].map(|text| nft(&text));
        let left = nft("list ruleset");
        ip(&["netns", "del", &netns]);
        made.into_iter()
            .chain(removed)
            .for_each(|done| drop(done.unwrap()));
        assert_eq!(listed.unwrap().matches("masquerade").count(), 1);
        assert_eq!(left.unwrap(), "");
    }
}
