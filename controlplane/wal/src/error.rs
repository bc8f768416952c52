use std::io;

/// What is wrong with a file of the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A checksum does not match, or a record cannot be what stands there.
    #[error("a record that was written is not readable")]
    Record,
    /// The file ends or is empty where records must be.
    #[error("records from {0} on are missing")]
    Missing(u64),
    /// The beginning of the file.
    #[error("its header is not readable")]
    Header,
    /// Both copies of the caller's data.
    #[error("neither copy in it is readable")]
    Meta,
    /// A file that must be there is not.
    #[error("the file is missing")]
    Absent,
}

/// Why the log could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// *Retry*: nothing was changed; it works again once there is space.
    #[error("{action}: the disk that holds the log is full, free space on it")]
    Full {
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// *Retry*: nothing was changed, for another reason than space.
    #[error("{action}: nothing was changed")]
    NotWritten {
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// *Unknown*: it cannot be told what is on disk. Nothing more is written until the log is opened again.
    #[error("{action}: the disk that holds the log failed, it takes no more writes until it is opened again")]
    Failed {
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier call was answered with [`WalError::Failed`].
    #[error("the log takes no more writes until it is opened again, since the disk that holds it failed")]
    Stopped,
    /// A file could not be read.
    #[error("read {file} of the log")]
    Read {
        /// The file's name.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// What was acknowledged once cannot be read back. The log is not opened; a server with peers can be built again
    /// from them.
    #[error("file {file} of the log is damaged at byte {offset}: {damage}")]
    Corrupt {
        /// The file's name.
        file: String,
        /// Where in the file.
        offset: u64,
        /// How.
        damage: Damage,
    },
    /// The log was written by a newer program.
    #[error(
        "file {file} of the log has format {found}, this program knows formats up to {known}: use a newer one"
    )]
    NewerFormat {
        /// The file's name.
        file: String,
        /// The format of the file.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// *Bug*: indexes have no gaps.
    #[error("append record {found}: the log continues with {expected}")]
    NotContiguous {
        /// The index that comes next.
        expected: u64,
        /// The index that was given.
        found: u64,
    },
    /// *Bug*: the log does not hold this index.
    #[error("record {index}: the log holds {first} up to before {next}")]
    OutOfRange {
        /// What was asked for.
        index: u64,
        /// The first index held.
        first: u64,
        /// The index after the last.
        next: u64,
    },
    /// *Invalid*: a record or the caller's data is over its limit.
    #[error("{what} of {size} bytes is larger than {limit}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// Its bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

impl WalError {
    /// Whether a call that failed so has left nothing behind, now or after a crash.
    #[must_use]
    pub fn is_not_written(&self) -> bool {
        !matches!(
            self,
            Self::Failed { .. } | Self::Corrupt { .. } | Self::Read { .. }
        )
    }

    /// The error of a call that changed nothing.
    pub(crate) fn not_written(action: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { action, source },
            _ => Self::NotWritten { action, source },
        }
    }
}
