//! Links in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::entry::{Entry, Key};
use super::{Links, Tables};
use crate::error::NetlinkError;
use crate::link::Link;
use crate::vxlan::Vxlan;

/// Stands in for the kernel in tests. Calls can be made to fail.
#[derive(Debug, Default)]
pub struct MemoryLinks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<u32, Link>,
    entries: BTreeMap<(u32, Key), Entry>,
    next: u32,
    /// Calls that change something and still succeed, where there is a limit.
    left: Option<usize>,
}

impl MemoryLinks {
    /// A kernel without links.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a link that is nobody's, up, with entries; returns its index.
    pub fn add(&self, name: &str, mtu: u32, entries: &[Entry]) -> u32 {
        let mut state = self.state();
        let index = state.insert(Link {
            name: name.to_owned(),
            mtu,
            up: true,
            ..Link::default()
        });
        state
            .entries
            .extend(entries.iter().map(|entry| ((index, entry.key()), *entry)));
        index
    }

    /// Lets `calls` more calls that change something succeed, the others fail with `EIO`.
    pub fn fail_after(&self, calls: Option<usize>) {
        self.state().left = calls;
    }

    /// Takes a link down, as `ip link set NAME down` does: its routes and neighbours go.
    pub fn lower(&self, index: u32) {
        let mut state = self.state();
        if let Some(link) = state.links.get_mut(&index) {
            link.up = false;
        }
        let kept = |key: &Key| matches!(key, Key::Address(_) | Key::Forward(_));
        state.entries.retain(|(of, key), _| *of != index || kept(key));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, link: Link) -> u32 {
        self.next += 1;
        let index = self.next;
        self.links.insert(index, Link { index, ..link });
        index
    }

    fn spend(&mut self, attempted: &str) -> Result<(), NetlinkError> {
        match &mut self.left {
            Some(0) => Err(failed(attempted, Errno::IO)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn link(&mut self, index: u32, attempted: &str) -> Result<&mut Link, NetlinkError> {
        self.links
            .get_mut(&index)
            .ok_or_else(|| failed(attempted, Errno::NODEV))
    }
}

fn failed(attempted: &str, errno: Errno) -> NetlinkError {
    NetlinkError::io(attempted, errno.into())
}

impl Links for MemoryLinks {
    async fn tables(&self) -> Result<Tables, NetlinkError> {
        let state = self.state();
        Ok(Tables {
            links: state.links.values().cloned().collect(),
            entries: state
                .entries
                .iter()
                .map(|((of, _), entry)| (*of, *entry))
                .collect(),
        })
    }

    async fn make(&self, device: &Vxlan) -> Result<u32, NetlinkError> {
        let attempted = format!("make VXLAN device {}", device.name);
        let mut state = self.state();
        state.spend(&attempted)?;
        if state.links.values().any(|link| link.name == device.name) {
            return Err(failed(&attempted, Errno::EXIST));
        }
        Ok(state.insert(Link {
            name: device.name.clone(),
            kind: "vxlan".to_owned(),
            mac: device.mac.0.to_vec(),
            mtu: device.mtu,
            up: true,
            vxlan: Some(device.info()),
            ..Link::default()
        }))
    }

    async fn raise(&self, index: u32, mtu: u32) -> Result<(), NetlinkError> {
        let mut state = self.state();
        state.spend("raise")?;
        let link = state.link(index, "raise")?;
        link.mtu = mtu;
        link.up = true;
        Ok(())
    }

    async fn delete(&self, index: u32) -> Result<(), NetlinkError> {
        let mut state = self.state();
        state.spend("delete")?;
        state.links.remove(&index);
        state.entries.retain(|(of, _), _| *of != index);
        Ok(())
    }

    async fn set(&self, index: u32, entry: &Entry) -> Result<(), NetlinkError> {
        let attempted = format!("set {entry}");
        let mut state = self.state();
        state.spend(&attempted)?;
        let up = state.link(index, &attempted)?.up;
        if !up && matches!(entry, Entry::Route { .. }) {
            return Err(failed(&attempted, Errno::NETDOWN));
        }
        state.entries.insert((index, entry.key()), *entry);
        Ok(())
    }

    async fn unset(&self, index: u32, entry: &Entry) -> Result<(), NetlinkError> {
        let mut state = self.state();
        state.spend("unset")?;
        if state.entries.get(&(index, entry.key())) == Some(entry) {
            state.entries.remove(&(index, entry.key()));
        }
        Ok(())
    }
}
