//! Compact schema tables of the Kubernetes kinds: defaulting, pruning, strategic merge, OpenAPI.
