//! Errors as the protocol carries them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Well-known codes (CNI 1.1.0, §5 "Error") and those of plugins, from 100 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
pub enum ErrorCode {
    /// 1: the version asked for is not spoken.
    IncompatibleVersion,
    /// 2: a field of the configuration is not supported.
    UnsupportedField,
    /// 3: the container is unknown; the runtime need not clean up.
    UnknownContainer,
    /// 4: a required environment variable is missing or wrong.
    InvalidEnvironment,
    /// 5: something could not be read or written.
    Io,
    /// 6: what was read is not what it should be.
    Decode,
    /// 7: the network configuration is wrong.
    InvalidNetworkConfig,
    /// 11: not now; the runtime should try again.
    TryAgainLater,
    /// 50: STATUS: the plugin cannot serve ADD.
    NotAvailable,
    /// 51: STATUS: the plugin cannot serve ADD, and existing containers may have limited connectivity.
    LimitedConnectivity,
    /// A code of a plugin's own, or one this version does not know.
    Other(u32),
}

impl ErrorCode {
    /// 100: our plugins' code for a failure of the system underneath.
    pub const SYSTEM: Self = Self::Other(100);
    /// 101: no address is left in the range.
    pub const EXHAUSTED: Self = Self::Other(101);
    /// 102: CHECK found something other than ADD made.
    pub const CHECK_FAILED: Self = Self::Other(102);
    /// 999: a plugin that was delegated to failed without saying why.
    pub const DELEGATE: Self = Self::Other(999);
}

impl From<u32> for ErrorCode {
    fn from(code: u32) -> Self {
        match code {
            1 => Self::IncompatibleVersion,
            2 => Self::UnsupportedField,
            3 => Self::UnknownContainer,
            4 => Self::InvalidEnvironment,
            5 => Self::Io,
            6 => Self::Decode,
            7 => Self::InvalidNetworkConfig,
            11 => Self::TryAgainLater,
            50 => Self::NotAvailable,
            51 => Self::LimitedConnectivity,
            other => Self::Other(other),
        }
    }
}

impl From<ErrorCode> for u32 {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::IncompatibleVersion => 1,
            ErrorCode::UnsupportedField => 2,
            ErrorCode::UnknownContainer => 3,
            ErrorCode::InvalidEnvironment => 4,
            ErrorCode::Io => 5,
            ErrorCode::Decode => 6,
            ErrorCode::InvalidNetworkConfig => 7,
            ErrorCode::TryAgainLater => 11,
            ErrorCode::NotAvailable => 50,
            ErrorCode::LimitedConnectivity => 51,
            ErrorCode::Other(other) => other,
        }
    }
}

/// An error as a plugin prints it: this type is part of the protocol, so its texts are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CniError {
    /// Version of the protocol; filled in as it is printed.
    #[serde(default)]
    pub cni_version: String,
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// One sentence: what was attempted, on what, and why it failed.
    #[serde(default)]
    pub msg: String,
    /// More, such as what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error with its message.
    #[must_use]
    pub fn new(code: ErrorCode, msg: impl Into<String>) -> Self {
        Self {
            cni_version: String::new(),
            code,
            msg: msg.into(),
            details: String::new(),
        }
    }

    /// Adds details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// A failure of the system underneath: `attempted`, then the causes.
    #[must_use]
    pub fn system(error: &dyn std::error::Error) -> Self {
        let mut msg = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            msg = format!("{msg}: {inner}");
            cause = inner.source();
        }
        Self::new(ErrorCode::SYSTEM, msg)
    }

    /// A configuration that cannot be used.
    #[must_use]
    pub fn config(msg: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidNetworkConfig, msg)
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.msg)?;
        if !self.details.is_empty() {
            write!(f, "; {}", self.details)?;
        }
        Ok(())
    }
}

impl std::error::Error for CniError {}
