//! Keeps the Endpoints of Services with selectors, for clients that know no `EndpointSlices` yet.
//!
//! Behaviour, labels and truncation are those of kube-controller-manager's `endpoints-controller`.

mod plan;
mod run;
mod subsets;

pub(crate) use run::{run, tidy};
