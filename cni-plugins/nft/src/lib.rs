//! The nftables ruleset as data, applied in one transaction.
