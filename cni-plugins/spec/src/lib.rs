//! The CNI 1.1 protocol: environment, stdin, results and error codes.
//!
//! Pure: what a plugin is asked and what it answers, as types. [`run`] connects them to a
//! [`Plugin`]; the binary only passes the environment and stdin in and the answer out.

mod call;
mod config;
mod env;
mod error;
mod plugin;
mod result;
mod version;

pub use call::Call;
pub use config::{NetConf, ValidAttachment};
pub use env::{Command, Environment};
pub use error::{CniError, ErrorCode};
pub use plugin::{Output, Plugin, run};
pub use result::{Dns, Interface, IpConfig, Route, Success};
pub use version::{Version, VersionInfo};
