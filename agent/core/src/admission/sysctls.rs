//! Kernel parameters that a pod may set: those that stay in its own namespaces and harm nobody
//! (Kubernetes, "Using sysctls in a cluster", safe set).

use k8s_openapi::api::core::v1::PodSpec;

const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// The first parameter that the pod must not set.
pub(super) fn forbidden(spec: &PodSpec) -> Option<&str> {
    let context = spec.security_context.as_ref();
    let mut wanted = context
        .into_iter()
        .flat_map(|context| context.sysctls.iter().flatten());
    let on_host = spec.host_network == Some(true);
    let refused = wanted.find(|sysctl| {
        let dotted = sysctl.name.replace('/', ".");
        // Those of the network would be the node's own.
        !SAFE.contains(&dotted.as_str()) || (on_host && dotted.starts_with("net."))
    });
    refused.map(|sysctl| sysctl.name.as_str())
}
