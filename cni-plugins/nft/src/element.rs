//! Elements of sets and maps.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The kernel's limit for a comment, less its end, as `nft` has it.
pub const MAX_COMMENT: usize = 127;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Every protocol, in the order rules have them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Its number in an IP header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The protocol with this number in an IP header.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.number() == number)
    }

    /// Its name in nft's words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// One part of a key or of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// An address.
    Addr(IpAddr),
    /// A transport protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Protocol(protocol) => f.write_str(protocol.name()),
            Self::Port(port) => port.fmt(f),
        }
    }
}

/// Fields side by side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple(pub Vec<Field>);

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { " . " };
            write!(f, "{between}{field}")?;
        }
        Ok(())
    }
}

/// What a verdict map says of a packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The packet is dropped.
    Drop,
    /// It goes on in a chain and does not come back.
    Goto(Arc<str>),
    /// It goes through a chain and comes back.
    Jump(Arc<str>),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
        }
    }
}

/// What a key leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Nothing: the element belongs to a set.
    Nothing,
    /// Data.
    Tuple(Tuple),
    /// A verdict.
    Verdict(Verdict),
}

/// Which element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementKey {
    /// Name of its set or map.
    pub set: Arc<str>,
    /// Its key.
    pub key: Tuple,
}

impl fmt::Display for ElementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {{ {} }}", self.set, self.key)
    }
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Which.
    pub key: ElementKey,
    /// What it leads to.
    pub value: Value,
    /// What it serves; at most [`MAX_COMMENT`] bytes reach the kernel.
    pub comment: Arc<str>,
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {{ {}", self.key.set, self.key.key)?;
        if !self.comment.is_empty() {
            write!(f, " comment {:?}", self.comment)?;
        }
        match &self.value {
            Value::Nothing => f.write_str(" }"),
            Value::Tuple(tuple) => write!(f, " : {tuple} }}"),
            Value::Verdict(verdict) => write!(f, " : {verdict} }}"),
        }
    }
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The element comes. Where one with its key is there, it must be the same.
    Add(Element),
    /// The element goes. It must be there.
    Remove(ElementKey),
}

impl Change {
    /// Which element changes.
    #[must_use]
    pub const fn key(&self) -> &ElementKey {
        match self {
            Self::Add(element) => &element.key,
            Self::Remove(key) => key,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(element) => write!(f, "add {element}"),
            Self::Remove(key) => write!(f, "remove {key}"),
        }
    }
}

/// `text` cut to what the kernel keeps as a comment.
#[must_use]
pub fn comment(text: &str) -> Arc<str> {
    let end = (0..=text.len().min(MAX_COMMENT))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reads_as_nft_writes_it() {
        let key = ElementKey {
            set: "services4".into(),
            key: Tuple(vec![
                Field::Addr("10.43.0.1".parse().unwrap()),
                Field::Protocol(Protocol::Tcp),
                Field::Port(443),
            ]),
        };
        let element = Element {
            key: key.clone(),
            value: Value::Verdict(Verdict::Goto("pick4-2".into())),
            comment: comment("default/kubernetes:https"),
        };
        assert_eq!(
            Change::Add(element).to_string(),
            "add services4 { 10.43.0.1 . tcp . 443 comment \"default/kubernetes:https\" : goto pick4-2 }"
        );
        assert_eq!(
            Change::Remove(key).to_string(),
            "remove services4 { 10.43.0.1 . tcp . 443 }"
        );
    }

    #[test]
    fn a_comment_is_cut_between_characters() {
        let long = "ö".repeat(100);
        assert_eq!(comment(&long).len(), 126);
        assert_eq!(&*comment("default/web"), "default/web");
    }
}
