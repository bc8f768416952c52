//! `floe-run`: back-off, mounts, journal streams and exit records around one container.
//!
//! The library holds the formats that the agent shares with the program ([`Launch`], [`Records`],
//! [`State`], all JSON under `/run/floe/pods/<uid>/<container>/`) and the program's own steps.
//! No async runtime, no D-Bus: this runs inside every container's unit.

pub mod attach;
mod back_off;
mod by_name;
mod cgroup;
mod clock;
mod extend;
mod file;
mod finish;
mod hold;
mod io_error;
mod launch;
mod lost;
pub mod mount_namespace;
mod processes;
mod records;
mod start;
mod state;

pub use back_off::BackOff;
pub use by_name::copy;
pub use cgroup::enter_cgroup;
pub use extend::{ExtendError, extend_stop};
pub use file::FormatError;
pub use finish::{FinishError, ServiceEnd, record, start_error};
pub use hold::Held;
pub use io_error::IoError;
pub use launch::{
    BUNDLE_FILE, CONFIG_FILE, ERROR_FILE, EtcFile, Identity, LAUNCH_FILE, LAUNCH_VERSION, Launch, PID_FILE,
    PodShare, RECORDS_FILE, ROOTFS_DIR, Rootfs, STATE_FILE, SubPath, UserSpec, write_bundle,
};
pub use lost::recover;
pub use processes::{FIRST_PROCESS, ProcessesError, reap, share_processes};
pub use records::{Ended, MAX_RECORDS, Record, Records};
pub use start::{StartError, run as start};
pub use state::{Phase, State};
