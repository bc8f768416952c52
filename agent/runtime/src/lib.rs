//! OCI bundles, container records, log reading and processes entered into containers.
