//! Defaults that no schema publishes and that depend on other fields, as rules.
//!
//! Facts are those of `SetDefaults_*` in Kubernetes' `pkg/apis/*/v1/defaults.go` (v1.36).

mod rules;

pub(crate) use rules::of as rules_of;

#[cfg(test)]
mod tests;
