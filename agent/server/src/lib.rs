//! The node's HTTP endpoint: logs, exec, attach and port-forward.
