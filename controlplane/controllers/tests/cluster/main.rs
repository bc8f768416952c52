//! Controllers and scheduler against the real API server, in one process over a store in memory.
//!
//! A small stand-in for the agent runs and ends pods, so that rollouts come to an end.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod rollout;
#[cfg(test)]
mod scheduling;
#[cfg(test)]
mod services;
#[cfg(test)]
mod standard;
