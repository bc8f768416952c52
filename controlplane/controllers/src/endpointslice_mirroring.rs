//! Mirrors Endpoints that people write for Services without selectors into `EndpointSlices`, which
//! is what proxies and DNS read.
//!
//! Behaviour, labels and limits are those of kube-controller-manager's
//! `endpointslice-mirroring-controller`.

mod plan;
mod run;

pub(crate) use run::run;
