//! The tables of the built-in kinds.

use std::sync::OnceLock;

use controlplane_apimachinery::schema::{Schemas, TableError};

use crate::defaulting;

/// Kubernetes' kinds, as published for v1.36 and made into a table by `schema-gen`, and ours after them.
const TYPES: &str = concat!(
    include_str!("../kubernetes.table"),
    "\n",
    include_str!("../floe.table")
);
/// The defaults that no schema publishes.
const DEFAULTS: &str = concat!(
    include_str!("../structs.table"),
    "\n",
    include_str!("../defaults.table")
);

/// The built-in kinds of the Kubernetes version that Floe serves, read on first use (some milliseconds).
#[must_use]
pub fn builtin() -> &'static Schemas {
    static BUILTIN: OnceLock<Schemas> = OnceLock::new();
    BUILTIN.get_or_init(|| {
        // The tables are part of the program and a test reads them, so no error can come up here.
        read().unwrap_or_default()
    })
}

fn read() -> Result<Schemas, TableError> {
    Schemas::parse(TYPES, DEFAULTS).map(|schemas| schemas.with_rules(defaulting::rules_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_program_can_be_read() {
        let schemas = read().expect("the checked-in tables");
        assert!(
            schemas.definitions().count() > 700,
            "{}",
            schemas.definitions().count()
        );
    }

    #[test]
    fn kinds_are_found_by_group_and_version() {
        let name = |group, version, kind| {
            builtin()
                .kind(group, version, kind)
                .map(|found| found.name().to_owned())
        };
        assert_eq!(name("", "v1", "Pod").as_deref(), Some("io.k8s.api.core.v1.Pod"));
        assert_eq!(
            name("apps", "v1", "Deployment").as_deref(),
            Some("io.k8s.api.apps.v1.Deployment")
        );
        assert_eq!(
            name("events.k8s.io", "v1", "Event").as_deref(),
            Some("io.k8s.api.events.v1.Event")
        );
        assert_eq!(
            name("", "v1", "Event").as_deref(),
            Some("io.k8s.api.core.v1.Event")
        );
        assert_eq!(
            name("apps", "v1", "DeleteOptions").as_deref(),
            Some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
        );
        assert_eq!(name("apps", "v1", "Pod"), None);
        assert_eq!(name("", "v2", "Pod"), None);
    }
}
