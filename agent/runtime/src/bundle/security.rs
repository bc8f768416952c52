//! Who the process is and what it may do.

use std::str::FromStr as _;

use agent_run::UserSpec;
use k8s_openapi::api::core::v1::{PodSecurityContext, SecurityContext};
use oci_spec::runtime::{Capabilities, Capability};

use super::{BundleError, ContainerInput};

/// What a container may do without asking: containerd's set without `MKNOD`, because the unit's
/// cgroup does not filter devices.
const DEFAULT: [Capability; 13] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// The security contexts of a container and its pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Security<'a> {
    container: Option<&'a SecurityContext>,
    pod: Option<&'a PodSecurityContext>,
}

impl<'a> Security<'a> {
    pub(super) fn of(input: &ContainerInput<'a>) -> Self {
        Self {
            container: input.container.security_context.as_ref(),
            pod: input.pod.spec.as_ref().and_then(|s| s.security_context.as_ref()),
        }
    }

    pub(super) fn privileged(&self) -> bool {
        self.container.and_then(|c| c.privileged).unwrap_or(false)
    }

    pub(super) fn read_only_root(&self) -> bool {
        self.container
            .and_then(|c| c.read_only_root_filesystem)
            .unwrap_or(false)
    }

    /// No set-uid program gains anything; privileged containers are beyond that.
    pub(super) fn no_new_privileges(&self) -> bool {
        !self.privileged() && self.container.and_then(|c| c.allow_privilege_escalation) == Some(false)
    }

    pub(super) fn unmasked_proc(&self) -> bool {
        self.privileged() || self.container.and_then(|c| c.proc_mount.as_deref()) == Some("Unmasked")
    }

    /// Type of the seccomp profile; `RuntimeDefault` unless the pod says otherwise.
    pub(super) fn seccomp(&self) -> &'a str {
        let of_container = self.container.and_then(|c| c.seccomp_profile.as_ref());
        let of_pod = self.pod.and_then(|p| p.seccomp_profile.as_ref());
        match of_container.or(of_pod) {
            _ if self.privileged() => "Unconfined",
            Some(profile) => profile.type_.as_str(),
            None => "RuntimeDefault",
        }
    }

    pub(super) fn sysctls(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let all = self.pod.and_then(|p| p.sysctls.as_deref()).unwrap_or_default();
        all.iter().map(|s| (s.name.as_str(), s.value.as_str()))
    }

    /// Bounding, permitted and effective set.
    pub(super) fn capabilities(&self) -> Result<Capabilities, BundleError> {
        if self.privileged() {
            return Ok(every().collect());
        }
        let asked = self.container.and_then(|c| c.capabilities.as_ref());
        let added = asked.and_then(|c| c.add.as_deref()).unwrap_or_default();
        let dropped = asked.and_then(|c| c.drop.as_deref()).unwrap_or_default();
        let mut set: Capabilities = if dropped.iter().any(|d| is_all(d)) {
            Capabilities::new()
        } else {
            DEFAULT.into_iter().collect()
        };
        if added.iter().any(|a| is_all(a)) {
            set.extend(every());
        }
        for name in dropped.iter().filter(|d| !is_all(d)) {
            set.remove(&capability(name)?);
        }
        for name in added.iter().filter(|a| !is_all(a)) {
            set.insert(capability(name)?);
        }
        Ok(set)
    }

    /// What remains to be looked up in the image.
    pub(super) fn user(&self, image_user: &str) -> Result<UserSpec, BundleError> {
        let id =
            |of_container: Option<i64>, of_pod: Option<i64>| of_container.or(of_pod).map(number).transpose();
        let uid = id(
            self.container.and_then(|c| c.run_as_user),
            self.pod.and_then(|p| p.run_as_user),
        )?;
        let gid = id(
            self.container.and_then(|c| c.run_as_group),
            self.pod.and_then(|p| p.run_as_group),
        )?;
        self.refuse_root(uid, image_user)?;
        let extra = self
            .pod
            .and_then(|p| p.supplemental_groups.as_deref())
            .unwrap_or_default();
        let fs_group = self.pod.and_then(|p| p.fs_group);
        let extra_groups = extra
            .iter()
            .copied()
            .chain(fs_group)
            .map(number)
            .collect::<Result<Vec<u32>, BundleError>>()?;
        let strict = self.pod.and_then(|p| p.supplemental_groups_policy.as_deref()) == Some("Strict");
        Ok(UserSpec {
            image_user: image_user.to_owned(),
            uid,
            gid,
            extra_groups,
            merge_image_groups: !strict,
        })
    }

    /// `runAsNonRoot`, with the kubelet's messages.
    fn refuse_root(&self, uid: Option<u32>, image_user: &str) -> Result<(), BundleError> {
        let of_container = self.container.and_then(|c| c.run_as_non_root);
        let non_root = of_container
            .or(self.pod.and_then(|p| p.run_as_non_root))
            .unwrap_or(false);
        let user = image_user.split(':').next().unwrap_or_default();
        match (non_root, uid) {
            (false, _) => Ok(()),
            (true, Some(0)) => Err(BundleError::RootByPod),
            (true, Some(_)) => Ok(()),
            (true, None) if user.is_empty() => Err(BundleError::RootByImage),
            (true, None) => match user.parse::<u32>() {
                Ok(0) => Err(BundleError::RootByImage),
                Ok(_) => Ok(()),
                Err(_) => Err(BundleError::UserByName(user.to_owned())),
            },
        }
    }
}

fn number(id: i64) -> Result<u32, BundleError> {
    u32::try_from(id).map_err(|_| BundleError::Id(id))
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("all")
}

fn capability(name: &str) -> Result<Capability, BundleError> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    Capability::from_str(bare).map_err(|_| BundleError::Capability(name.to_owned()))
}

/// Every capability by its name, because the type has no list of its own.
fn every() -> impl Iterator<Item = Capability> {
    const NAMES: &str = "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN \
        DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN \
        MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP \
        SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE \
        SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM";
    NAMES
        .split_whitespace()
        .filter_map(|name| Capability::from_str(name).ok())
}
