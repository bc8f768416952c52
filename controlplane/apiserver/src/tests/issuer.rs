//! The issuer of tokens for service accounts, as those see it who check tokens by themselves.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use super::*;

const DESCRIPTION: &str = "/.well-known/openid-configuration";

fn decoded(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// One part of a token, as JSON.
fn part(text: &str) -> Value {
    serde_json::from_slice(&decoded(text)).unwrap()
}

#[tokio::test]
async fn a_token_is_checked_by_what_its_issuer_publishes_alone() {
    let api = Api::start().await;
    let wish = json!({"spec": {"audiences": ["oidc-discovery-test"]}});
    let made = api.post(&format!("{ACCOUNTS}/default/token"), &wish).await;
    let token = made.body["status"]["token"].as_str().unwrap().to_owned();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let (header, claims) = (part(header), part(claims));
    let account = api.as_user("system:serviceaccount:default:default", "system:serviceaccounts");
    let described = account.get(DESCRIPTION).await;
    assert_eq!(described.code, 200, "{}", described.body);
    assert_eq!(described.headers[CONTENT_TYPE], "application/json");
    assert_eq!(described.headers["cache-control"], "public, max-age=3600");
    assert_eq!(described.body["issuer"], claims["iss"]);
    let algorithms = &described.body["id_token_signing_alg_values_supported"];
    assert_eq!(algorithms, &json!([header["alg"]]));
    // The document says where the keys are; the name before the path leads to this server inside the cluster.
    let place = described.body["jwks_uri"].as_str().unwrap();
    let path = place.strip_prefix(claims["iss"].as_str().unwrap()).unwrap();
    let keys = account.get(path).await;
    assert_eq!(keys.headers[CONTENT_TYPE], "application/jwk-set+json");
    let named = |key: &&Value| key["kid"] == header["kid"];
    let key = keys.body["keys"].as_array().unwrap().iter().find(named).unwrap();
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"]),
        (&json!("EC"), &json!("P-256"), &header["alg"])
    );
    let point = [
        vec![4],
        decoded(key["x"].as_str().unwrap()),
        decoded(key["y"].as_str().unwrap()),
    ]
    .concat();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    public.verify(message.as_bytes(), &decoded(signature)).unwrap();
    assert!(public.verify(b"another", &decoded(signature)).is_err());
}

#[tokio::test]
async fn the_issuer_is_for_service_accounts_and_administrators() {
    let api = Api::start().await;
    for path in [DESCRIPTION, "/openid/v1/jwks"] {
        assert_eq!(api.get(path).await.code, 200, "{path}");
        assert_eq!(api.as_user("ann", "dev").get(path).await.code, 403, "{path}");
    }
}
