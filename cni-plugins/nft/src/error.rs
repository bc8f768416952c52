//! What goes wrong with the ruleset.

/// Why a change of the ruleset failed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The tool is not installed.
    #[error("run nft to {attempted}: it is not installed; install the package nftables")]
    Missing {
        /// What should have been done.
        attempted: String,
    },
    /// The tool could not be run, or its answer not be read.
    #[error("run nft to {attempted}")]
    Failed {
        /// What should have been done.
        attempted: String,
        /// Why.
        #[source]
        source: nftables::helper::NftablesError,
    },
    /// The tool refused.
    #[error("nft refused to {attempted}: {said}")]
    Refused {
        /// What should have been done.
        attempted: String,
        /// The first line of what it said.
        said: String,
    },
    /// The kernel refused.
    #[error("{attempted}")]
    Kernel {
        /// What should have been done.
        attempted: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl NftError {
    /// Sorts a failure of the tool.
    pub(crate) fn of_tool(attempted: String, error: nftables::helper::NftablesError) -> Self {
        use nftables::helper::NftablesError;
        match error {
            NftablesError::NftExecution { inner, .. } if inner.kind() == std::io::ErrorKind::NotFound => {
                Self::Missing { attempted }
            }
            NftablesError::NftFailed { stderr, .. } => Self::Refused {
                attempted,
                said: stderr.lines().next().unwrap_or("nothing").to_owned(),
            },
            source => Self::Failed { attempted, source },
        }
    }
}
