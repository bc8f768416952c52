use std::io;
use std::path::PathBuf;

/// Why a bucket could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The file with the credentials.
    #[error("read the credentials {file}")]
    Credentials {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The file with the authority's certificate.
    #[error("read the authority's certificate {file}")]
    Authority {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// What is said of the bucket makes no sense together.
    #[error("use the bucket {bucket}: {why}")]
    Settings {
        /// The bucket.
        bucket: String,
        /// Why, in words.
        why: String,
    },
    /// The server refused the credentials, or what was asked with them.
    #[error(
        "{action}: the server refuses it; do the credentials belong to this server, and may they do that?"
    )]
    Refused {
        /// What was asked, and of what.
        action: String,
        /// What the server said.
        source: object_store::Error,
    },
    /// There is no such bucket or object.
    #[error("{action}: the server has no such bucket or object")]
    Absent {
        /// What was asked, and of what.
        action: String,
        /// What the server said.
        source: object_store::Error,
    },
    /// Anything else that went wrong between here and there.
    #[error("{action}")]
    Failed {
        /// What was asked, and of what.
        action: String,
        /// What went wrong.
        source: object_store::Error,
    },
    /// The file that is uploaded or written could not be read or written.
    #[error("{action}")]
    File {
        /// What was done, and with what.
        action: String,
        /// What the system said.
        source: io::Error,
    },
    /// What arrived is not what was sent.
    #[error("{action}: {found} bytes arrived of {expected}")]
    Incomplete {
        /// What was done, and with what.
        action: String,
        /// How many arrived.
        found: u64,
        /// How many were sent.
        expected: u64,
    },
}

impl BucketError {
    /// What came back from `action`.
    pub(crate) fn of(action: String, source: object_store::Error) -> Self {
        use object_store::Error as E;
        match source {
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Refused { action, source },
            E::NotFound { .. } => Self::Absent { action, source },
            // Of listings and of uploads in parts the library tells no more than what the server said.
            E::Generic { .. }
                if says(
                    &source,
                    &["AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId"],
                ) =>
            {
                Self::Refused { action, source }
            }
            E::Generic { .. } if says(&source, &["NoSuchBucket", "NoSuchKey"]) => {
                Self::Absent { action, source }
            }
            _ => Self::Failed { action, source },
        }
    }
}

/// Whether the server's answer has one of these codes.
fn says(error: &object_store::Error, codes: &[&str]) -> bool {
    let text = error.to_string();
    codes
        .iter()
        .any(|code| text.contains(&format!("<Code>{code}</Code>")))
}
