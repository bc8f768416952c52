//! The service proxy: Services and EndpointSlices as elements of the table `inet floe`.
//!
//! [`Model`] is pure: it takes in what the API tells and plans changes of elements, for the changed
//! services alone. [`Engine`] applies plans to a [`cni_plugins_nft::Ruleset`] and repairs what others
//! changed. [`run`] feeds it from the API.

mod claims;
mod config;
mod engine;
mod family;
mod model;
mod program;
mod reach;
mod run;
mod service;
mod shape;
mod slice;
mod structure;
mod sweep;
mod sysctl;
mod target;

pub use config::Config;
pub use engine::{Engine, Report};
pub use model::{Model, Plan, Update};
pub use run::run;
pub use service::{FOREIGN_PROXY_LABEL, HEADLESS_LABEL, ObjectName, Port, Service, TrafficPolicy};
pub use slice::{Endpoint, Readiness, Slice};
pub use sweep::{Sweep, sweep};
pub use target::{Changed, Reached, Target, stale_clients, stale_flows};
