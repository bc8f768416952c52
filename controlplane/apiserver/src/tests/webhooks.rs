//! Configurations of webhooks, as far as they are kept and found.

use super::conformance::told;
use super::*;

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

#[tokio::test]
async fn discovery_leads_to_the_configurations_of_webhooks() {
    let api = Api::start().await;
    let groups = api.get("/apis").await.body["groups"].clone();
    let group = "admissionregistration.k8s.io";
    let listed = groups
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["name"] == group)
        .unwrap();
    let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
    let one = api.get(&format!("/apis/{group}")).await.body;
    for found in [listed, &one] {
        assert!(
            found["versions"].as_array().unwrap().contains(&version),
            "{found}"
        );
    }
    let resources = api.get(ADMISSION).await.body["resources"].clone();
    for (kind, plural) in [
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        (
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        ),
    ] {
        let mut found = resources.as_array().unwrap().iter();
        let found = found.find(|found| found["name"] == plural).unwrap();
        assert_eq!(
            (&found["kind"], &found["namespaced"]),
            (&json!(kind), &json!(false))
        );
    }
}

#[tokio::test]
async fn webhook_configurations_keep_their_match_conditions_and_change_them() {
    let api = Api::start().await;
    for kind in ["Mutating", "Validating"] {
        let mut object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{kind}WebhookConfiguration"),
            "metadata": {"name": "w"},
            "webhooks": [{
                "name": "w.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"namespace": "default", "name": "w"}},
                "matchConditions": [{"name": "expression-1", "expression": "object.metadata.namespace == 'production'"}],
            }],
        });
        let path = format!("{ADMISSION}/{}webhookconfigurations", kind.to_lowercase());
        let made = api.post(&path, &object).await;
        assert_eq!(made.code, 201, "{}", made.body);
        assert_eq!(
            made.body["webhooks"][0]["matchConditions"],
            object["webhooks"][0]["matchConditions"]
        );
        object["webhooks"][0]["matchConditions"] = json!([
            {"name": "expression-1", "expression": "object.metadata.namespace == 'production'"},
            {"name": "expression-2", "expression": "object.metadata.namespace == 'staging'"},
        ]);
        object["metadata"] = made.body["metadata"].clone();
        let one = format!("{path}/w");
        assert_eq!(api.put(&one, &object).await.code, 200);
        let found = api.get(&one).await.body;
        assert_eq!(
            found["webhooks"][0]["matchConditions"],
            object["webhooks"][0]["matchConditions"]
        );
        assert_eq!(found["metadata"]["generation"], 2);
        object["webhooks"][0]["matchConditions"][1]["name"] = json!("expression-1");
        object["metadata"] = found["metadata"].clone();
        let refused = told(&api.put(&one, &object).await);
        assert!(
            refused.0 == 422
                && refused
                    .1
                    .contains("webhooks[0].matchConditions[1].name: Duplicate value"),
            "{refused:?}"
        );
    }
}
