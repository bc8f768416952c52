//! Keeps the `EndpointSlices` of Services with selectors.
//!
//! Behaviour, labels, names and packing are those of kube-controller-manager's
//! `endpointslice-controller`, but for time: a change is written when it is seen, not after half a
//! second. Packing and caching serve the mirroring controller too.

mod apply;
mod cache;
mod desired;
mod pack;
mod plan;
mod run;

pub(crate) use apply::perform;
pub(crate) use cache::Slices;
pub(crate) use desired::{HEADLESS, MANAGED_BY, SERVICE_NAME, family, is_headless};
pub(crate) use plan::{Frame, Group, Port, PortSet, plan};
pub(crate) use run::run;
