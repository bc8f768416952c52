//! The environment a plugin is called with (CNI 1.1.0, §2 "Parameters").

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{CniError, ErrorCode};

/// What a plugin is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Connect a container.
    Add,
    /// Disconnect it.
    Del,
    /// Tell whether it still is connected as it was.
    Check,
    /// Free what belongs to no container any more.
    Gc,
    /// Tell whether ADD can be served.
    Status,
    /// Tell the versions spoken.
    Version,
}

impl Command {
    /// The command in the protocol's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    fn parse(raw: &str) -> Option<Self> {
        let all = [
            Self::Add,
            Self::Del,
            Self::Check,
            Self::Gc,
            Self::Status,
            Self::Version,
        ];
        all.into_iter().find(|c| c.as_str() == raw)
    }
}

/// The parameters, checked: what a command needs is there and well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `CNI_COMMAND`
    pub command: Command,
    /// `CNI_CONTAINERID`; empty for GC, STATUS and VERSION.
    pub container_id: String,
    /// `CNI_NETNS`; DEL may come without.
    pub netns: Option<PathBuf>,
    /// `CNI_IFNAME`; empty for GC, STATUS and VERSION.
    pub ifname: String,
    /// `CNI_ARGS`, such as `K8S_POD_NAME`.
    pub args: BTreeMap<String, String>,
    /// `CNI_PATH`: folders with plugins.
    pub path: Vec<PathBuf>,
}

impl Environment {
    /// Reads the parameters through `lookup`.
    ///
    /// # Errors
    ///
    /// Names every variable that is missing, or the first that is malformed.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let raw = get("CNI_COMMAND").ok_or_else(|| missing(&["CNI_COMMAND"]))?;
        let command = Command::parse(&raw).ok_or_else(|| wrong(&format!("unknown CNI_COMMAND {raw:?}")))?;
        let needed: &[&str] = match command {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
            Command::Gc | Command::Status => &["CNI_PATH"],
            Command::Version => &[],
        };
        let absent: Vec<&str> = needed
            .iter()
            .copied()
            .filter(|name| get(name).is_none())
            .collect();
        if !absent.is_empty() {
            return Err(missing(&absent));
        }
        let environment = Self {
            command,
            container_id: get("CNI_CONTAINERID").unwrap_or_default(),
            netns: get("CNI_NETNS").map(Into::into),
            ifname: get("CNI_IFNAME").unwrap_or_default(),
            args: args(&get("CNI_ARGS").unwrap_or_default())?,
            path: get("CNI_PATH")
                .map(|p| std::env::split_paths(&p).collect())
                .unwrap_or_default(),
        };
        environment.check()?;
        Ok(environment)
    }

    fn check(&self) -> Result<(), CniError> {
        if !self.container_id.is_empty() && !is_identifier(&self.container_id) {
            return Err(wrong(&format!(
                "CNI_CONTAINERID {:?} {IDENTIFIER}",
                self.container_id
            )));
        }
        if self.ifname.is_empty() {
            return Ok(());
        }
        match interface_problem(&self.ifname) {
            Some(problem) => Err(wrong(&format!("CNI_IFNAME {:?} {problem}", self.ifname))),
            None => Ok(()),
        }
    }

    /// The variables as a plugin that is delegated to needs them.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let netns = self
            .netns
            .as_ref()
            .map(|p| p.to_string_lossy().into_owned())
            .unwrap_or_default();
        let args: Vec<String> = self.args.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let path = std::env::join_paths(&self.path).unwrap_or_default();
        vec![
            ("CNI_COMMAND", self.command.as_str().to_owned()),
            ("CNI_CONTAINERID", self.container_id.clone()),
            ("CNI_NETNS", netns),
            ("CNI_IFNAME", self.ifname.clone()),
            ("CNI_ARGS", args.join(";")),
            ("CNI_PATH", path.to_string_lossy().into_owned()),
        ]
    }
}

pub(crate) const IDENTIFIER: &str =
    "must begin with a letter or digit and go on with letters, digits, _ . or -";

/// Whether `raw` can be a container ID or the name of a network.
pub(crate) fn is_identifier(raw: &str) -> bool {
    raw.starts_with(|c: char| c.is_ascii_alphanumeric())
        && raw
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// The kernel's rules for names of interfaces.
fn interface_problem(name: &str) -> Option<&'static str> {
    if name.len() > 15 {
        Some("is over 15 bytes")
    } else if matches!(name, "." | "..") {
        Some("must not be . or ..")
    } else if name.chars().any(|c| matches!(c, '/' | ':') || c.is_whitespace()) {
        Some("must not have a slash, a colon or a blank")
    } else {
        None
    }
}

fn args(raw: &str) -> Result<BTreeMap<String, String>, CniError> {
    let pair = |part: &str| {
        let malformed = || wrong(&format!("CNI_ARGS has {part:?} where KEY=VALUE is expected"));
        part.split_once('=')
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .ok_or_else(malformed)
    };
    raw.split(';').filter(|part| !part.is_empty()).map(pair).collect()
}

fn missing(names: &[&str]) -> CniError {
    wrong(&format!(
        "required environment variables are missing: {}",
        names.join(", ")
    ))
}

fn wrong(msg: &str) -> CniError {
    CniError::new(ErrorCode::InvalidEnvironment, msg)
}
