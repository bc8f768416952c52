//! Backups in a bucket of an S3 server, Amazon's or one that speaks its protocol.
//!
//! [`Settings`] say where; [`Bucket`] uploads, lists, downloads and removes. Uploads are signed and carry a SHA-256 of each
//! part, which the server checks; what is larger than one part goes up in parts, and the number of such an upload is noted on
//! disk while it lasts, so that what a killed process left half done is removed by the next. Credentials come from a file that
//! only its owner reads, or from the machine's role; they are read anew for each backup.

mod bucket;
mod credentials;
mod error;
mod settings;
mod unfinished;

pub use bucket::{Bucket, Stored};
pub use error::BucketError;
pub use settings::{Settings, SettingsError};
pub use unfinished::Unfinished;
