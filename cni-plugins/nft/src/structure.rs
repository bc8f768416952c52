//! Sets, maps and chains: all of the table but the elements.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The type of one part of a key or of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// An IPv4 address.
    Addr4,
    /// An IPv6 address.
    Addr6,
    /// A transport protocol.
    Protocol,
    /// A port.
    Port,
}

impl FieldKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Addr4 => "ipv4_addr",
            Self::Addr6 => "ipv6_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
        }
    }
}

/// What the keys of a set lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueKind {
    /// Nothing: it is a set.
    Nothing,
    /// Data of these types.
    Tuple(Vec<FieldKind>),
    /// Verdicts.
    Verdict,
}

/// Who fills a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Changes of its elements.
    ByChanges,
    /// Rules, as packets come: elements are bounded in number and expire.
    ByPackets {
        /// The most elements it holds.
        size: u32,
    },
}

/// A set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSpec {
    /// Types of the key's parts.
    pub key: Vec<FieldKind>,
    /// What keys lead to.
    pub value: ValueKind,
    /// Who fills it.
    pub filled: Filled,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `nat` or `filter`.
    pub kind: &'static str,
    /// `prerouting`, `output`, ….
    pub hook: &'static str,
    /// Chains of a lower number see a packet earlier.
    pub priority: i32,
}

/// A chain with its rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainSpec {
    /// Where packets enter it; none where other chains lead to it.
    pub hook: Option<Hook>,
    /// Its rules in nft's language, one each.
    pub rules: Vec<String>,
}

/// Sets and chains by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Structure {
    /// Sets and maps.
    pub sets: BTreeMap<Arc<str>, SetSpec>,
    /// Chains.
    pub chains: BTreeMap<Arc<str>, ChainSpec>,
}

impl Structure {
    /// What is here and not in `other`.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        self.sets.retain(|name, set| other.sets.get(name) != Some(set));
        self.chains
            .retain(|name, chain| other.chains.get(name) != Some(chain));
        self
    }

    /// Splits off the chains that packets enter, so that they can come last.
    #[must_use]
    pub fn split_hooks(mut self) -> (Self, Self) {
        let (hooked, other) = std::mem::take(&mut self.chains)
            .into_iter()
            .partition(|(_, chain)| chain.hook.is_some());
        self.chains = other;
        let hooks = Self {
            sets: BTreeMap::new(),
            chains: hooked,
        };
        (self, hooks)
    }

    /// Adds what `other` has.
    pub fn merge(&mut self, other: Self) {
        self.sets.extend(other.sets);
        self.chains.extend(other.chains);
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.chains.is_empty()
    }

    /// The commands that make `table` so, whatever was there; elements stay. They are one transaction.
    #[must_use]
    pub fn commands(&self, table: &str) -> String {
        let mut text = format!("add table inet {table}\n");
        for (name, set) in &self.sets {
            line(&mut text, format_args!("add {}", set.declaration(table, name)));
        }
        for (name, chain) in &self.chains {
            let hook = chain.hook.map(Hook::text).unwrap_or_default();
            line(&mut text, format_args!("add chain inet {table} {name}{hook}"));
            line(&mut text, format_args!("flush chain inet {table} {name}"));
        }
        // Last, since rules name chains that may come later in the alphabet.
        for (name, chain) in &self.chains {
            for rule in &chain.rules {
                line(&mut text, format_args!("add rule inet {table} {name} {rule}"));
            }
        }
        text
    }
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.push_str(&what.to_string());
    text.push('\n');
}

impl Hook {
    fn text(self) -> String {
        let Self { kind, hook, priority } = self;
        format!(" {{ type {kind} hook {hook} priority {priority}; policy accept; }}")
    }
}

impl SetSpec {
    fn declaration(&self, table: &str, name: &str) -> String {
        let (what, value) = match &self.value {
            ValueKind::Nothing => ("set", String::new()),
            ValueKind::Tuple(kinds) => ("map", format!(" : {}", names(kinds))),
            ValueKind::Verdict => ("map", " : verdict".to_owned()),
        };
        let filled = match self.filled {
            Filled::ByChanges => String::new(),
            Filled::ByPackets { size } => format!(" size {size}; flags dynamic,timeout;"),
        };
        format!(
            "{what} inet {table} {name} {{ type {}{value};{filled} }}",
            names(&self.key)
        )
    }
}

fn names(kinds: &[FieldKind]) -> String {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    names.join(" . ")
}
