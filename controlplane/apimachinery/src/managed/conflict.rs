//! Why a configuration cannot be applied.

use super::collect::Mistakes;
use super::entry::{Entry, EntryError, Operation};
use crate::error::ApiError;
use crate::field::quote;
use crate::status::Cause;

/// One field that somebody else owns and that a configuration wants otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// Whose it is, as messages show it: `"kubectl" using apps/v1`.
    pub owner: String,
    /// Where it is: `.spec.replicas`.
    pub path: String,
}

/// The manager of an entry as messages show it.
pub(super) fn shown(entry: &Entry) -> String {
    let mut text = quote(&entry.manager);
    if !entry.subresource.is_empty() {
        text = format!("{text} with subresource {}", quote(&entry.subresource));
    }
    if entry.operation == Operation::Update {
        text = format!("{text} using {}", entry.api_version);
    }
    text
}

/// Why a configuration cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The configuration is of another group, version or kind than the request.
    #[error("invalid object type: {given}")]
    OtherKind {
        /// The one it is of: `apps/v1, Kind=Deployment`.
        given: String,
    },
    /// The configuration says who owns what, which is the server's to say.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// The configuration does not fit its type.
    #[error("failed to create typed patch object ({object}): {mistakes}")]
    Unfit {
        /// The object: `default/web; apps/v1, Kind=Deployment`.
        object: String,
        /// What it has wrong.
        mistakes: Mistakes,
    },
    /// What is stored of the owners cannot be read.
    #[error("failed to decode managed fields: {0}")]
    Stored(#[from] EntryError),
    /// Others own fields that it wants otherwise.
    #[error("{}", message(.0))]
    Conflicts(Vec<Conflict>),
}

fn message(conflicts: &[Conflict]) -> String {
    if let [Conflict { owner, path }] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {owner}: {path}");
    }
    let mut lines = Vec::with_capacity(conflicts.len());
    let mut before = None;
    for Conflict { owner, path } in conflicts {
        if before != Some(owner) {
            lines.push(format!("conflicts with {owner}:"));
            before = Some(owner);
        }
        lines.push(format!("- {path}"));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        conflicts.len(),
        lines.join("\n")
    )
}

impl From<ApplyError> for ApiError {
    fn from(error: ApplyError) -> Self {
        match &error {
            ApplyError::OtherKind { .. } | ApplyError::ManagedFieldsGiven => {
                Self::bad_request(error.to_string())
            }
            ApplyError::Unfit { .. } | ApplyError::Stored(_) => Self::unknown(error.to_string()),
            ApplyError::Conflicts(conflicts) => {
                let causes = conflicts
                    .iter()
                    .map(|conflict| Cause {
                        reason: "FieldManagerConflict".to_owned(),
                        message: format!("conflict with {}", conflict.owner),
                        field: conflict.path.clone(),
                    })
                    .collect();
                Self::apply_conflict(error.to_string(), causes)
            }
        }
    }
}
