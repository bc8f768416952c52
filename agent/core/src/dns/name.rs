//! A pod's names.

use k8s_openapi::api::core::v1::{Pod, PodSpec};

/// Longest host name the kernel takes (`__NEW_UTS_LEN`).
const KERNEL_LIMIT: usize = 64;

/// A pod that wants its fully qualified name as host name, but that name is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to construct FQDN from Pod hostname and cluster domain, FQDN {fqdn} is too long \
     ({KERNEL_LIMIT} characters is the max, {} characters requested)",
    fqdn.len()
)]
pub struct FqdnTooLong {
    /// The name.
    pub fqdn: String,
}

/// The pod's host name: `spec.hostnameOverride`, `spec.hostname`, else its name, cut at 63 bytes.
#[must_use]
pub fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let wished = spec
        .and_then(overridden)
        .or_else(|| spec.and_then(|spec| filled(spec.hostname.as_deref())));
    let name = wished.or(pod.metadata.name.as_deref()).unwrap_or_default();
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// The pod's fully qualified name, where it has a subdomain and its host name is not overridden.
#[must_use]
pub fn fqdn(pod: &Pod, cluster_domain: &str) -> Option<String> {
    let spec = pod.spec.as_ref().filter(|spec| overridden(spec).is_none())?;
    let subdomain = filled(spec.subdomain.as_deref())?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Some(format!(
        "{}.{subdomain}.{namespace}.svc.{cluster_domain}",
        hostname(pod)
    ))
}

/// The host name as the pod's kernel has it: with `setHostnameAsFQDN` the fully qualified one.
///
/// # Errors
///
/// When that is longer than the kernel takes.
pub fn kernel_hostname(pod: &Pod, cluster_domain: &str) -> Result<String, FqdnTooLong> {
    let qualified = pod.spec.as_ref().and_then(|spec| spec.set_hostname_as_fqdn) == Some(true);
    match fqdn(pod, cluster_domain).filter(|_| qualified) {
        Some(fqdn) if fqdn.len() > KERNEL_LIMIT => Err(FqdnTooLong { fqdn }),
        Some(fqdn) => Ok(fqdn),
        None => Ok(hostname(pod)),
    }
}

fn overridden(spec: &PodSpec) -> Option<&str> {
    filled(spec.hostname_override.as_deref())
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}
