//! Bindings, by which the old scheduler's path places pods; never stored.

use super::define::kind;
use crate::resource::{Resource, Verb};

pub(super) fn resource() -> Resource {
    Resource {
        verbs: vec![Verb::Create],
        transient: true,
        ..kind("", "v1", "Binding", "bindings")
    }
}
