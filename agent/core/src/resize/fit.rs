//! Whether a node can promise what a resize asks for, and whose turn it is.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodSpec;

use crate::admission;
use crate::qos::{QosClass, qos_class};
use crate::requests::{Amounts, requests};

/// What a resize changes of what a node promises.
const RESIZED: [&str; 2] = ["memory", "cpu"];

/// Whether a resize that does not fit may fit later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Once other pods leave or shrink.
    Deferred,
    /// Never on this node.
    Infeasible,
}

impl Reason {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deferred => "Deferred",
            Self::Infeasible => "Infeasible",
        }
    }
}

/// Why a resize does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Whether it may later.
    pub reason: Reason,
    /// In the kubelet's words.
    pub message: String,
}

/// Whether a node that offers `allocatable` and has promised itself to `others` can promise what `wanted` asks for.
///
/// # Errors
///
/// Why not, and whether it may be otherwise later.
pub fn fit<'a>(
    wanted: &PodSpec,
    allocatable: &Amounts,
    others: impl Iterator<Item = &'a PodSpec> + Clone,
) -> Result<(), Unfit> {
    let asked = requests(wanted);
    for name in RESIZED {
        let (asked, capacity) = (
            asked.get(name).copied().unwrap_or(0),
            allocatable.get(name).copied(),
        );
        if let Some(capacity) = capacity.filter(|capacity| asked > *capacity) {
            return Err(Unfit {
                reason: Reason::Infeasible,
                message: format!(
                    "Node didn't have enough capacity: {name}, requested: {asked}, capacity: {capacity}"
                ),
            });
        }
    }
    match admission::shortage(wanted, allocatable, others) {
        None => Ok(()),
        Some(message) => Err(Unfit {
            reason: Reason::Deferred,
            message,
        }),
    }
}

/// The order in which resizes are decided over, the least first: those that ask for no more than they hold, then by
/// priority, by class, and by how long they wait.
#[must_use]
pub fn turn(wanted: &PodSpec, held: &PodSpec, since: Timestamp) -> (bool, Reverse<i32>, bool, Timestamp) {
    let (asked, has) = (requests(wanted), requests(held));
    let grows = RESIZED.iter().any(|name| asked.get(*name) > has.get(*name));
    let guaranteed = qos_class(wanted) == QosClass::Guaranteed;
    (grows, Reverse(wanted.priority.unwrap_or(0)), !guaranteed, since)
}
