//! The default seccomp profile, fitted to a container's capabilities.

use oci_spec::runtime::{Capabilities, LinuxSeccomp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::BundleError;

/// The profile as data: rules with the capabilities and architectures they are for.
const PROFILE: &str = include_str!("seccomp.json");

/// What a call gets that no rule names: ENOSYS, so that libraries fall back to older calls.
const DEFAULT_ERRNO: u32 = 38;

#[derive(Debug, Deserialize)]
struct Profile {
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
    /// The rule as OCI has it.
    #[serde(flatten)]
    oci: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Condition {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
}

impl Rule {
    fn applies(&self, arch: &str, capabilities: &[String]) -> bool {
        let included = self.includes.arches.is_empty() || self.includes.arches.iter().any(|a| a == arch);
        let capable = self.includes.caps.iter().all(|c| capabilities.contains(c));
        let excluded = self.excludes.arches.iter().any(|a| a == arch)
            || self.excludes.caps.iter().any(|c| capabilities.contains(c));
        included && capable && !excluded
    }
}

/// The profile for a container with these capabilities on this architecture.
pub(super) fn runtime_default(capabilities: &Capabilities) -> Result<LinuxSeccomp, BundleError> {
    let profile: Profile = serde_json::from_str(PROFILE).map_err(BundleError::Profile)?;
    let names: Vec<String> = capabilities.iter().map(|c| format!("CAP_{c}")).collect();
    let (arch, architectures) = native();
    let rules: Vec<Value> = profile
        .syscalls
        .into_iter()
        .filter(|rule| rule.applies(arch, &names))
        .map(|rule| Value::Object(rule.oci))
        .collect();
    let filter = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": DEFAULT_ERRNO,
        "architectures": architectures,
        "syscalls": rules,
    });
    serde_json::from_value(filter).map_err(BundleError::Profile)
}

/// Go's name of this architecture and the kernel interfaces it has.
fn native() -> (&'static str, &'static [&'static str]) {
    match std::env::consts::ARCH {
        "aarch64" => ("arm64", &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        _ => ("amd64", &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Capability;

    fn allowed(capabilities: &[Capability], call: &str) -> bool {
        let filter = runtime_default(&capabilities.iter().copied().collect()).unwrap();
        let rules = serde_json::to_value(filter).unwrap();
        rules["syscalls"].as_array().unwrap().iter().any(|rule| {
            rule["action"] == "SCMP_ACT_ALLOW" && rule["names"].as_array().unwrap().iter().any(|n| n == call)
        })
    }

    #[test]
    fn a_call_that_needs_a_capability_is_allowed_with_it_alone() {
        assert!(allowed(&[], "read"));
        assert!(!allowed(&[], "bpf"));
        assert!(allowed(&[Capability::SysAdmin], "bpf"));
        assert!(!allowed(&[], "kexec_load"));
    }
}
