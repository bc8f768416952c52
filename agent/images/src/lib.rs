//! The node's image store: OCI archives in, content-addressed layers out.
