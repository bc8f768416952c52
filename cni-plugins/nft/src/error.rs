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
    /// The tool refused.
    #[error("run nft to {attempted}")]
    Failed {
        /// What should have been done.
        attempted: String,
        /// What it said.
        #[source]
        source: nftables::helper::NftablesError,
    },
}
