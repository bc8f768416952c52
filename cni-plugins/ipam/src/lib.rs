//! `host-local`: addresses from ranges, reserved in files.
//!
//! The files are laid out as upstream's plugin lays them out, so that either can take over from the
//! other and an operator can read them:
//!
//! ```text
//! <dataDir>/<network>/lock
//! <dataDir>/<network>/<address>            container ID, CR LF, interface
//! <dataDir>/<network>/last_reserved_ip.<n>  where the next search in range set n begins
//! ```

mod plugin;
mod range;
mod reservations;
mod settings;

pub use plugin::HostLocal;
pub use range::{Range, RangeError};
pub use reservations::{Owner, Reservations, StoreError};
pub use settings::Settings;
