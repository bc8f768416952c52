//! `bridge`: a pod's link to the node's bridge.
