//! Versions of the protocol.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{CniError, ErrorCode};

/// A version of the protocol that results can be written in. Versions before 0.3.0 are not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// 0.3.0, whose results are those of 0.3.1.
    V0_3_0,
    /// 0.3.1
    V0_3_1,
    /// 0.4.0, which brought CHECK.
    V0_4_0,
    /// 1.0.0
    V1_0_0,
    /// 1.1.0, which brought GC and STATUS.
    #[default]
    V1_1_0,
}

impl Version {
    /// Every supported version, the oldest first.
    pub const ALL: [Self; 5] = [
        Self::V0_3_0,
        Self::V0_3_1,
        Self::V0_4_0,
        Self::V1_0_0,
        Self::V1_1_0,
    ];

    /// The version in the protocol's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = CniError;

    fn from_str(raw: &str) -> Result<Self, CniError> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|v| v.as_str() == raw).ok_or_else(|| {
            CniError::new(
                ErrorCode::IncompatibleVersion,
                format!("cniVersion {raw:?} is not supported"),
            )
            .with_details(format!("supported are {}", known()))
        })
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The answer to VERSION (CNI 1.1.0, §2 "VERSION").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// The version of this answer.
    pub cni_version: String,
    /// The versions that the plugin speaks.
    pub supported_versions: Vec<String>,
}

impl VersionInfo {
    /// What our plugins answer when asked in `asked`.
    #[must_use]
    pub fn ours(asked: &str) -> Self {
        Self {
            cni_version: asked.to_owned(),
            supported_versions: Version::ALL.iter().map(ToString::to_string).collect(),
        }
    }
}
