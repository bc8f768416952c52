//! Deterministic simulation of the store.
//!
//! Whole clusters of one to five servers run in one thread on simulated time: the real store, consensus and log over a
//! network, disks and clocks that do their worst, by the numbers that a seed gives. Clients write and watch as Kubernetes'
//! do, and everything they see is recorded and checked. The same seed gives the same run, to the last message.
//!
//! A run has a phase with faults, in which nothing wrong may ever be shown, and a phase of healing, at whose end every server
//! must hold the same, take writes, and have delivered every event.

mod check;
mod clock;
mod entropy;
mod faults;
mod history;
mod host;
mod net;
mod pace;
mod random;
mod run;
mod state;
mod traffic;
mod world;

pub use check::{Truth, check};
pub use history::{Answer, Asked, Call, Delivery, History, Moment, Recorder, Watched};
pub use net::Net;
pub use random::Random;
pub use run::{Bug, FIRST_OF_ALL, MEANT, REGRESSIONS, Report, run};
