//! Who may use the endpoint.

use http::StatusCode;

use super::client::{Endpoint, text};
use crate::caller::API_SERVER;

#[tokio::test]
async fn nobody_gets_in_without_a_certificate() {
    let mut endpoint = Endpoint::start().await;
    for path in ["/healthz", "/pods", "/containerLogs/default/web/app", "/nothing"] {
        let response = endpoint.get_as(None, path).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn other_members_of_the_cluster_are_forbidden() {
    let mut endpoint = Endpoint::start().await;
    for name in ["system:node:other", "kubernetes-admin", ""] {
        let response = endpoint.get_as(Some(name), "/pods").await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}");
    }
}

#[tokio::test]
async fn the_api_server_gets_health_and_pods() {
    let mut endpoint = Endpoint::start().await;
    assert_eq!(
        text(endpoint.get_as(Some(API_SERVER), "/healthz").await).await,
        "ok"
    );
    let pods: serde_json::Value = serde_json::from_str(&text(endpoint.get("/pods").await).await).unwrap();
    assert_eq!(pods["kind"], "PodList");
    assert_eq!(pods["items"][0]["metadata"]["name"], "web");
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let mut endpoint = Endpoint::start().await;
    let paths = [
        "/containerLogs/default/gone/app",
        "/containerLogs/other/web/app",
        "/containerLogs/default/web/gone",
        "/run/default/web/app",
    ];
    for path in paths {
        assert_eq!(endpoint.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
    let endpoint = Endpoint::start().await;
    let renewed = endpoint.renew();
    assert!(endpoint.renew_wrongly().is_err());
    let stream = endpoint.connect(Some(API_SERVER)).await;
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(shown[0].as_ref(), renewed);
}
