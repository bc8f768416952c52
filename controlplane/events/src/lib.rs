//! Events as `kubectl describe` shows them.
//!
//! `kube`'s own recorder tells events apart without their message, so two scalings of one
//! Deployment would become one. This one follows `client-go`: the same event again raises a
//! count, an object that floods is held back, and publishing never blocks its caller.
//!
//! The same event within ten minutes raises the count; an object has a burst of 25 and one more every five minutes. One
//! task writes; both memories are bounded (4 096).

mod correlate;
mod recorder;

pub use correlate::{Correlator, Decision, Identity};
pub use recorder::{Note, Recorder, Severity, recorder};
