//! Variables of the services that existed when the container started.

use k8s_openapi::api::core::v1::{Service, ServicePort};

use super::Sources;

/// `KUBERNETES_*` always; those of the services in the pod's namespace unless `enableServiceLinks` is false.
pub(super) fn variables(sources: &Sources<'_>) -> Vec<(String, String)> {
    let namespace = sources.pod.metadata.namespace.as_deref();
    let links = sources
        .pod
        .spec
        .as_ref()
        .and_then(|spec| spec.enable_service_links)
        != Some(false);
    let is_master = |service: &Service| {
        let meta = &service.metadata;
        meta.namespace.as_deref() == Some("default") && meta.name.as_deref() == Some("kubernetes")
    };
    let wanted = sources.services.iter().filter(|service| {
        is_master(service) || (links && service.metadata.namespace.as_deref() == namespace)
    });
    wanted.flat_map(of_service).collect()
}

fn of_service(service: &Service) -> Vec<(String, String)> {
    let spec = service.spec.as_ref();
    let ip = spec
        .and_then(|spec| spec.cluster_ip.as_deref())
        .filter(|ip| !ip.is_empty() && *ip != "None");
    let ports: &[ServicePort] = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let (Some(ip), Some(first), Some(name)) = (ip, ports.first(), service.metadata.name.as_deref()) else {
        return Vec::new();
    };
    let name = upper(name);
    let mut out = vec![
        (format!("{name}_SERVICE_HOST"), ip.to_owned()),
        (format!("{name}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in ports {
        if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            out.push((
                format!("{name}_SERVICE_PORT_{}", upper(port_name)),
                port.port.to_string(),
            ));
        }
    }
    out.push((format!("{name}_PORT"), url(first, ip)));
    out.extend(ports.iter().flat_map(|port| docker_link(&name, port, ip)));
    out
}

fn docker_link(name: &str, port: &ServicePort, ip: &str) -> [(String, String); 4] {
    let protocol = protocol(port);
    let prefix = format!("{name}_PORT_{}_{protocol}", port.port);
    [
        (prefix.clone(), url(port, ip)),
        (format!("{prefix}_PROTO"), protocol.to_lowercase()),
        (format!("{prefix}_PORT"), port.port.to_string()),
        (format!("{prefix}_ADDR"), ip.to_owned()),
    ]
}

fn url(port: &ServicePort, ip: &str) -> String {
    let host = if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    };
    format!("{}://{host}:{}", protocol(port).to_lowercase(), port.port)
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace(['-', '.'], "_")
}
