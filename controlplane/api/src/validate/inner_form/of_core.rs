//! Forms of structs of the group core.

use super::{EMPTY, Form, LABEL_SELECTOR, NULL, ZERO, holding, member};

/// A port of a Service.
pub(crate) const SERVICE_PORT: Form = &[
    member("name", "Name", EMPTY),
    member("protocol", "Protocol", EMPTY),
    member("appProtocol", "AppProtocol", NULL),
    member("port", "Port", ZERO),
    member("targetPort", "TargetPort", ZERO),
    member("nodePort", "NodePort", ZERO),
];

/// A taint of a node.
pub(crate) const TAINT: Form = &[
    member("key", "Key", EMPTY),
    member("value", "Value", EMPTY),
    member("effect", "Effect", EMPTY),
    member("timeAdded", "TimeAdded", NULL),
];

/// An address of a node.
pub(crate) const NODE_ADDRESS: Form = &[member("type", "Type", EMPTY), member("address", "Address", EMPTY)];

const CONFIG_MAP_SOURCE: Form = &[
    member("namespace", "Namespace", EMPTY),
    member("name", "Name", EMPTY),
    member("uid", "UID", EMPTY),
    member("resourceVersion", "ResourceVersion", EMPTY),
    member("kubeletConfigKey", "KubeletConfigKey", EMPTY),
];

/// Where a node has its configuration from.
pub(crate) const CONFIG_SOURCE: Form = &[holding("configMap", "ConfigMap", CONFIG_MAP_SOURCE)];

/// An address of a pod or of its host.
pub(crate) const IP: Form = &[member("ip", "IP", EMPTY)];

/// Devices that a pod claims.
pub(crate) const RESOURCE_CLAIM: Form = &[
    member("name", "Name", EMPTY),
    member("resourceClaimName", "ResourceClaimName", NULL),
    member("resourceClaimTemplateName", "ResourceClaimTemplateName", NULL),
];

const CAPABILITIES: Form = &[member("add", "Add", NULL), member("drop", "Drop", NULL)];

const SE_LINUX: Form = &[
    member("user", "User", EMPTY),
    member("role", "Role", EMPTY),
    member("type", "Type", EMPTY),
    member("level", "Level", EMPTY),
];

const WINDOWS: Form = &[
    member("gmsaCredentialSpecName", "GMSACredentialSpecName", NULL),
    member("gmsaCredentialSpec", "GMSACredentialSpec", NULL),
    member("runAsUserName", "RunAsUserName", NULL),
    member("hostProcess", "HostProcess", NULL),
];

/// A profile of seccomp or AppArmor.
pub(crate) const PROFILE: Form = &[
    member("type", "Type", EMPTY),
    member("localhostProfile", "LocalhostProfile", NULL),
];

/// The security context of a container.
pub(crate) const SECURITY_CONTEXT: Form = &[
    holding("capabilities", "Capabilities", CAPABILITIES),
    member("privileged", "Privileged", NULL),
    holding("seLinuxOptions", "SELinuxOptions", SE_LINUX),
    holding("windowsOptions", "WindowsOptions", WINDOWS),
    member("runAsUser", "RunAsUser", NULL),
    member("runAsGroup", "RunAsGroup", NULL),
    member("runAsNonRoot", "RunAsNonRoot", NULL),
    member("readOnlyRootFilesystem", "ReadOnlyRootFilesystem", NULL),
    member("allowPrivilegeEscalation", "AllowPrivilegeEscalation", NULL),
    member("procMount", "ProcMount", NULL),
    holding("seccompProfile", "SeccompProfile", PROFILE),
    holding("appArmorProfile", "AppArmorProfile", PROFILE),
];

const REQUIREMENT: Form = &[
    member("key", "Key", EMPTY),
    member("operator", "Operator", EMPTY),
    member("values", "Values", NULL),
];

/// A term of a selector of nodes.
pub(crate) const NODE_TERM: Form = &[
    holding("matchExpressions", "MatchExpressions", REQUIREMENT),
    holding("matchFields", "MatchFields", REQUIREMENT),
];

const NODE_SELECTOR: Form = &[holding("nodeSelectorTerms", "NodeSelectorTerms", NODE_TERM)];

/// Where a volume can be reached.
pub(crate) const VOLUME_AFFINITY: Form = &[holding("required", "Required", NODE_SELECTOR)];

const SCOPE_REQUIREMENT: Form = &[
    member("scopeName", "ScopeName", EMPTY),
    member("operator", "Operator", EMPTY),
    member("values", "Values", NULL),
];

/// To what a quota is limited.
pub(crate) const SCOPE_SELECTOR: Form = &[holding("matchExpressions", "MatchExpressions", SCOPE_REQUIREMENT)];

/// Certificates of authorities that a pod has as files.
pub(crate) const TRUST_BUNDLE: Form = &[
    member("name", "Name", NULL),
    member("signerName", "SignerName", NULL),
    holding("labelSelector", "LabelSelector", LABEL_SELECTOR),
    member("optional", "Optional", NULL),
    member("path", "Path", EMPTY),
];
