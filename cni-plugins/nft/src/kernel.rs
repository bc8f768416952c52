//! The ruleset of the kernel: structure by the `nft` tool, elements by netlink.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use nftables::helper::get_current_ruleset_raw;
use rustix::net::RecvFlags;
use serde_json::Value;

use crate::TABLE;
use crate::element::{Change, Element, ElementKey};
use crate::encode;
use crate::error::NftError;
use crate::nft::{program, run_text};
use crate::own::Own;
use crate::rules;
use crate::ruleset::{FOREIGN_CHAINS, Ruleset};
use crate::socket::Socket;
use crate::structure::{SetSpec, Structure};
use crate::wire::{Messages, NFPROTO_INET, NLMSG_ERROR, error_code};

/// The table in the network namespace in which this was made. `nft` is run by the calling thread,
/// which must be in that namespace too.
#[derive(Debug)]
pub struct KernelRuleset {
    table: Arc<str>,
    socket: Socket,
    own: Own,
    loaded: Structure,
    /// How `nft` lists what was loaded, learnt from the first listing after it.
    known: BTreeMap<String, Vec<Value>>,
}

impl KernelRuleset {
    /// Opens the table `inet floe`; it need not be there.
    ///
    /// # Errors
    ///
    /// When the kernel gives no socket.
    pub fn open() -> Result<Self, NftError> {
        Self::open_table(TABLE)
    }

    /// Opens another table of the family `inet`; it need not be there.
    ///
    /// # Errors
    ///
    /// When the kernel gives no socket.
    pub fn open_table(name: &str) -> Result<Self, NftError> {
        let table = Arc::from(name);
        Ok(Self {
            socket: Socket::open().map_err(|source| kernel("open a netfilter socket", source))?,
            own: Own::of(&table),
            table,
            loaded: Structure::default(),
            known: BTreeMap::new(),
        })
    }

    /// How a [`crate::Watch`] tells this ruleset's own changes.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell the socket's port.
    pub fn own(&self) -> Result<Own, NftError> {
        let port = self.socket.port();
        let port = port.map_err(|source| kernel("learn the port of the netfilter socket", source))?;
        self.own.set_port(port);
        Ok(self.own.clone())
    }

    /// Comments of the rules of `chain` in their order; none where there is no such chain. By netlink,
    /// so it costs no start of `nft`.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    pub fn comments(&self, chain: &str) -> Result<Vec<String>, NftError> {
        let attempted = || format!("list the rules of chain {chain} of the table inet {}", self.table);
        rules::comments(&self.table, chain).map_err(|source| kernel(&attempted(), source))
    }

    /// Everything in the table by kind and name, without elements and handles; `None` for no table.
    fn list(&self) -> Result<Option<BTreeMap<String, Vec<Value>>>, NftError> {
        let attempted = format!("list the table inet {}", self.table);
        match get_current_ruleset_raw(program(), ["-t", "list", "table", "inet", &*self.table]) {
            Ok(json) => Ok(Some(objects(&json))),
            Err(error) => match NftError::of_tool(attempted, error) {
                NftError::Refused { said, .. } if said.contains("No such file") => Ok(None),
                other => Err(other),
            },
        }
    }

    fn send(&mut self, changes: &[Change]) -> io::Result<()> {
        let sequence = self.socket.next_sequence();
        self.socket
            .send(encode::transaction(&self.table, changes, sequence).bytes())?;
        // The transaction is over when `send` returns, and its answers are in the queue.
        loop {
            match self.socket.receive(RecvFlags::DONTWAIT) {
                Ok(datagram) => match outcome(datagram, sequence) {
                    Some(0) => return Ok(()),
                    Some(code) => return self.refused(code),
                    None => {}
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::other("the kernel did not answer"));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Empties the queue, which holds an answer for each refused message.
    fn refused(&mut self, code: i32) -> io::Result<()> {
        while self.socket.receive(RecvFlags::DONTWAIT).is_ok() {}
        Err(io::Error::from_raw_os_error(code))
    }
}

/// The first failure that `datagram` tells of request `sequence`, or 0 where it tells of success.
fn outcome(datagram: &[u8], sequence: u32) -> Option<i32> {
    let answers = Messages(datagram).filter(|m| m.kind == NLMSG_ERROR && m.sequence == sequence);
    answers.map(|message| error_code(message.body)).max()
}

impl Ruleset for KernelRuleset {
    fn load(&mut self, structure: &Structure) -> Result<(), NftError> {
        run_text(
            &structure.commands(&self.table),
            &format!("load sets and chains of the table inet {}", self.table),
            |child| self.own.add_process(child),
        )?;
        for name in structure.chains.keys() {
            self.known.remove(&format!("chain {name}"));
        }
        for name in structure.sets.keys() {
            self.known.remove(&format!("set {name}"));
        }
        self.loaded.merge(structure.clone());
        Ok(())
    }

    fn unload(&mut self, chains: &[Arc<str>]) -> Result<(), NftError> {
        let each = |verb: &str| -> String {
            let line = |chain: &Arc<str>| format!("{verb} chain inet {} {chain}\n", self.table);
            chains.iter().map(line).collect()
        };
        run_text(
            &(each("flush") + &each("delete")),
            &format!(
                "remove chains of the table inet {} that are not used any more",
                self.table
            ),
            |child| self.own.add_process(child),
        )?;
        for chain in chains {
            self.known.remove(&format!("chain {chain}"));
            self.loaded.chains.remove(chain);
        }
        Ok(())
    }

    fn holds(&mut self) -> Result<bool, NftError> {
        let Some(mut found) = self.list()? else {
            return Ok(self.loaded.is_empty());
        };
        let sets = self.loaded.sets.keys().map(|name| (format!("set {name}"), 1));
        let chains = self.loaded.chains.iter();
        let chains = chains.map(|(name, chain)| (format!("chain {name}"), 1 + chain.rules.len()));
        for (key, size) in sets.chain(chains) {
            let listed = found.remove(&key).unwrap_or_default();
            let known = self.known.entry(key).or_insert_with(|| listed.clone());
            if listed.len() != size || *known != listed {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn replace(&mut self, structure: &Structure) -> Result<(), NftError> {
        let found = self.list()?.unwrap_or_default();
        let commands = removal(&self.table, &found) + &structure.commands(&self.table);
        run_text(
            &commands,
            &format!("replace sets and chains of the table inet {}", self.table),
            |child| self.own.add_process(child),
        )?;
        self.known.clear();
        self.loaded = structure.clone();
        Ok(())
    }

    fn elements(&mut self, name: &str, spec: &SetSpec) -> Result<Vec<Element>, NftError> {
        let mut found = Vec::new();
        let table = &*self.table;
        let listed = self.socket.dump(
            encode::NFT_MSG_GETSETELEM,
            NFPROTO_INET,
            |body| {
                body.text(encode::NFTA_SET_ELEM_LIST_TABLE, table);
                body.text(encode::NFTA_SET_ELEM_LIST_SET, name);
            },
            |answer| match answer {
                None => found.clear(),
                Some(message) if message.kind == encode::NFT_MSG_NEWSETELEM => {
                    found.extend(encode::elements(message.body, name, spec));
                }
                Some(_) => {}
            },
        );
        match listed {
            Ok(()) => Ok(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(kernel(&format!("list the elements of {name}"), source)),
        }
    }

    fn change(&mut self, changes: &[Change]) -> Result<(), NftError> {
        let Some(first) = changes.first() else {
            return Ok(());
        };
        self.send(changes).map_err(|source| {
            let attempted = format!(
                "change {} elements of the table inet {}, first: {first}",
                changes.len(),
                self.table
            );
            kernel(&attempted, source)
        })
    }

    fn forget(&mut self, keys: &[ElementKey]) -> Result<(), NftError> {
        for key in keys {
            // One by one: a single absent element would undo a whole transaction.
            match self.send(&[Change::Remove(key.clone())]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(kernel(&format!("remove {key}"), source)),
            }
        }
        Ok(())
    }
}

fn kernel(attempted: &str, source: io::Error) -> NftError {
    NftError::Kernel {
        attempted: attempted.to_owned(),
        source,
    }
}

/// The objects of a listing by kind and name: a set alone, a chain with its rules behind it.
fn objects(json: &str) -> BTreeMap<String, Vec<Value>> {
    let parsed: Value = serde_json::from_str(json).unwrap_or_default();
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let listed = parsed
        .get("nftables")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for (kind, object) in listed.filter_map(Value::as_object).flatten() {
        let (kind, name) = match kind.as_str() {
            "map" | "set" => ("set", "name"),
            "chain" => ("chain", "name"),
            "rule" => ("chain", "chain"),
            _ => continue,
        };
        let Some(name) = object.get(name).and_then(Value::as_str) else {
            continue;
        };
        let mut object = object.clone();
        for volatile in ["handle", "elem"] {
            object.as_object_mut().map(|members| members.remove(volatile));
        }
        found.entry(format!("{kind} {name}")).or_default().push(object);
    }
    found
}

/// The commands that take away all that `found` has of `table`, but for chains of the CNI plugins.
fn removal(table: &str, found: &BTreeMap<String, Vec<Value>>) -> String {
    let names = |kind: &'static str| {
        found
            .iter()
            .filter_map(move |(key, objects)| Some((key.strip_prefix(kind)?, objects)))
            .filter(|(name, _)| !name.starts_with(FOREIGN_CHAINS))
    };
    let flushed = names("chain ").map(|(name, _)| format!("flush chain inet {table} {name}\n"));
    // Maps before chains: a chain that an element leads to cannot go.
    let sets = names("set ").map(|(name, objects)| {
        let is_map = objects.iter().any(|object| object.get("map").is_some());
        let kind = if is_map { "map" } else { "set" };
        format!("delete {kind} inet {table} {name}\n")
    });
    let chains = names("chain ").map(|(name, _)| format!("delete chain inet {table} {name}\n"));
    flushed.chain(sets).chain(chains).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_spares_the_chains_of_the_plugins() {
        let listing = serde_json::json!({"nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": "floe", "handle": 1}},
            {"map": {"name": "services4", "map": "verdict", "handle": 2}},
            {"set": {"name": "hairpin4", "handle": 3}},
            {"chain": {"name": "refuse", "handle": 4}},
            {"chain": {"name": "masquerade-floe", "handle": 5}},
            {"rule": {"chain": "refuse", "handle": 6, "expr": []}},
        ]});
        assert_eq!(
            removal("floe", &objects(&listing.to_string())),
            "flush chain inet floe refuse\n\
             delete set inet floe hairpin4\n\
             delete map inet floe services4\n\
             delete chain inet floe refuse\n"
        );
    }

    #[test]
    fn handles_are_no_difference() {
        let listing = |handle: u32| {
            serde_json::json!({"nftables": [
                {"chain": {"name": "refuse", "handle": handle}},
                {"rule": {"chain": "refuse", "handle": handle + 1, "expr": ["drop"]}},
            ]})
            .to_string()
        };
        assert_eq!(objects(&listing(1)), objects(&listing(7)));
        assert_eq!(objects(&listing(1)).get("chain refuse").map(Vec::len), Some(2));
    }
}
