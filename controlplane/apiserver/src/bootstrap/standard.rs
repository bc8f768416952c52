//! Objects of general kinds that upstream's server makes for itself: classes of priority, of requests, of addresses; and
//! the groups it serves.

use controlplane_api::kinds::{flow_defaults, local_api_services, system_priority_classes};
use controlplane_api::meta;
use serde_json::{Value, json};

use super::BootstrapError;
use crate::server::ApiServer;

const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";

impl ApiServer {
    /// Makes those that are missing; what the operator changed stays.
    pub(super) async fn ensure_standard(&self) -> Result<(), BootstrapError> {
        let range = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": [self.0.service_cidr.trunc().to_string()]},
        });
        self.ensure_all(vec![
            (CLASSES, system_priority_classes().to_vec()),
            (RANGES, vec![range]),
            (SERVICES, local_api_services(&self.0.registry)),
        ])
        .await?;
        self.ensure_flow_control().await
    }

    /// Makes the objects of priority and fairness that are missing; those that are deleted come back, as upstream's.
    pub(crate) async fn ensure_flow_control(&self) -> Result<(), BootstrapError> {
        self.ensure_all(vec![
            (LEVELS, flow_defaults::mandatory_levels()),
            (LEVELS, flow_defaults::suggested_levels()),
            (SCHEMAS, flow_defaults::mandatory_schemas()),
            (SCHEMAS, flow_defaults::suggested_schemas()),
        ])
        .await
    }

    async fn ensure_all(&self, all: Vec<(&str, Vec<Value>)>) -> Result<(), BootstrapError> {
        for (folder, objects) in all {
            // The kinds of a smaller registry are not missed.
            if let (404, _) = self.send("GET", folder, &Value::Null).await {
                continue;
            }
            for object in objects {
                self.ensure(folder, meta::name(&object), &object).await?;
            }
        }
        Ok(())
    }
}
