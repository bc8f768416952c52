//! Takes the descriptions of types and fields, which `kubectl explain` shows, from the `k8s-openapi` crate.
//!
//! Only with the feature `descriptions`: the crate is built once more for it, with its schemas. Text that
//! long is not checked in.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "descriptions")]
    descriptions::write()?;
    Ok(())
}

#[cfg(feature = "descriptions")]
mod descriptions {
    use std::error::Error;
    use std::fmt::Write as _;
    use std::path::PathBuf;

    use schemars::SchemaGenerator;
    use serde_json::Value;

    /// Adds the schemas of kinds, and of all that they refer to, to a generator.
    macro_rules! kinds {
        ($generator:ident; $($($module:ident)::+: $($kind:ident)+;)+) => {
            $({
                use k8s_openapi::$($module)::+ as module;
                $(let _ = $generator.subschema_for::<module::$kind>();)+
            })+
        };
    }

    /// One line for each definition and each field, described in `src/openapi/descriptions.rs`.
    pub(super) fn write() -> Result<(), Box<dyn Error>> {
        let mut text = String::new();
        for (name, schema) in generator().definitions() {
            writeln!(text, "[{name}] {}", description(schema))?;
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                writeln!(text, "{field} {}", description(schema))?;
            }
        }
        let folder = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
        std::fs::write(PathBuf::from(folder).join("descriptions.table"), text)?;
        Ok(())
    }

    /// The description as a JSON string, which is one line.
    fn description(schema: &Value) -> Value {
        schema["description"].as_str().unwrap_or_default().into()
    }

    /// Every kind of the table, so far as the crate has it; a test sees what is missing.
    fn generator() -> SchemaGenerator {
        let mut generator = SchemaGenerator::default();
        kinds! { generator;
            api::admissionregistration::v1: MutatingAdmissionPolicy MutatingAdmissionPolicyBinding
                MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
                ValidatingWebhookConfiguration;
            api::admissionregistration::v1alpha1: MutatingAdmissionPolicy MutatingAdmissionPolicyBinding;
            api::admissionregistration::v1beta1: MutatingAdmissionPolicy MutatingAdmissionPolicyBinding;
            api::apiserverinternal::v1alpha1: StorageVersion;
            api::apps::v1: ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet;
            api::authentication::v1: SelfSubjectReview TokenRequest TokenReview;
            api::authorization::v1: LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview
                SubjectAccessReview;
            api::autoscaling::v1: HorizontalPodAutoscaler Scale;
            api::autoscaling::v2: HorizontalPodAutoscaler;
            api::batch::v1: CronJob Job;
            api::certificates::v1: CertificateSigningRequest;
            api::certificates::v1alpha1: ClusterTrustBundle;
            api::certificates::v1beta1: ClusterTrustBundle PodCertificateRequest;
            api::coordination::v1: Lease;
            api::coordination::v1alpha2: LeaseCandidate;
            api::coordination::v1beta1: LeaseCandidate;
            api::core::v1: Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node
                PersistentVolume PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret
                Service ServiceAccount;
            api::discovery::v1: EndpointSlice;
            api::events::v1: Event;
            api::flowcontrol::v1: FlowSchema PriorityLevelConfiguration;
            api::networking::v1: IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR;
            api::networking::v1beta1: IPAddress ServiceCIDR;
            api::node::v1: RuntimeClass;
            api::policy::v1: Eviction PodDisruptionBudget;
            api::rbac::v1: ClusterRole ClusterRoleBinding Role RoleBinding;
            api::resource::v1: DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice;
            api::resource::v1alpha3: DeviceTaintRule ResourcePoolStatusRequest;
            api::resource::v1beta1: DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice;
            api::resource::v1beta2: DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate
                ResourceSlice;
            api::scheduling::v1: PriorityClass;
            api::scheduling::v1alpha2: PodGroup Workload;
            api::storage::v1: CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment
                VolumeAttributesClass;
            api::storage::v1beta1: VolumeAttributesClass;
            api::storagemigration::v1beta1: StorageVersionMigration;
            apiextensions_apiserver::pkg::apis::apiextensions::v1: CustomResourceDefinition;
            apimachinery::pkg::apis::meta::v1: APIGroup APIVersions DeleteOptions Status;
            kube_aggregator::pkg::apis::apiregistration::v1: APIService;
        }
        generator
    }
}
