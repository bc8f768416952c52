//! The plugins as a container runtime calls them: by name, with environment and stdin, in network
//! namespaces of the test's own. Needs root and iproute2; the faults need strace too.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod bridge;
mod faults;
mod node;
mod portmap;
mod vxlan;
