//! The node's HTTP endpoint: logs, exec, attach and port-forward.
//!
//! The paths and query names are the kubelet's, so that the API server (ours or upstream's) can call
//! it. What a pod is and how to reach it comes through [`PodAccess`]; nothing here knows systemd.

mod access;
mod caller;
mod exec;
mod forward;
mod query;
mod refusal;
mod routes;
mod serve;
#[cfg(test)]
mod tests;
mod tls;
mod upgrade;
mod wire;

pub use access::{
    AccessError, BoxRead, BoxWrite, ContainerPath, ExecOptions, Exit, LogOptions, LogStream, OutputStream,
    PodAccess, PodNetwork, PodPath, ProcessControl, Session, Since, TerminalSize,
};
pub use serve::{ServeError, serve};
pub use tls::{ServingCertificate, TlsError, tls_config};
