//! Tokens of service accounts: JSON Web Tokens (RFC 7519) that this cluster signs, with upstream's claims.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use controlplane_api::{UserInfo, meta};
use controlplane_pki::ServiceAccountKeys;
use controlplane_store::{Key, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who issues the tokens, and the audience of those that are meant for the API itself.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// How long a token outlives the object it is bound to, so that what ends can still say goodbye.
const LEEWAY_SECONDS: i64 = 60;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) aud: Vec<String>,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) iss: String,
    pub(crate) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(crate) private: Private,
    pub(crate) nbf: i64,
    pub(crate) sub: String,
}

/// The account, and what the token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Private {
    pub(crate) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Reference>,
    pub(crate) serviceaccount: Reference,
    /// When a client should have read a newer one, where the token lives longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warnafter: Option<i64>,
}

/// One object, for its life.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Reference {
    pub(crate) fn of(object: &Value) -> Self {
        Self {
            name: meta::name(object).to_owned(),
            uid: meta::uid(object).to_owned(),
        }
    }
}

/// Why a token is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// It is none of ours.
    #[error("invalid bearer token")]
    NotOurs,
    /// Its time is over, or has not come.
    #[error("service account token has expired")]
    Expired,
    /// It is for somebody else.
    #[error("token audiences {found:?} is invalid for the target audiences {wanted:?}")]
    Audience {
        /// For whom it is.
        found: Vec<String>,
        /// For whom it should be.
        wanted: Vec<String>,
    },
    /// Its account, or what it is bound to, is gone.
    #[error("service account token has been invalidated")]
    Gone,
}

/// As JSON Web Tokens and keys write bytes.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The token that says `claims`; none where the key cannot sign.
pub(crate) fn sign(keys: &ServiceAccountKeys, claims: &Claims) -> Option<String> {
    let header = json!({"alg": "ES256", "kid": encode(keys.key_id())}).to_string();
    let claims = serde_json::to_vec(claims).ok()?;
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = keys.sign(message.as_bytes())?;
    Some(format!("{message}.{}", encode(signature)))
}

/// Whose token it is, and for which of the `wanted` audiences, if it is good now.
///
/// # Errors
///
/// Why it is not.
pub(crate) fn verify(
    keys: &ServiceAccountKeys,
    store: &Store,
    token: &str,
    wanted: &[String],
    now: Timestamp,
) -> Result<(UserInfo, Vec<String>), TokenError> {
    let claims = read(keys, token).ok_or(TokenError::NotOurs)?;
    let now = now.as_second();
    if now < claims.nbf || claims.exp <= now {
        return Err(TokenError::Expired);
    }
    let fitting = claims.aud.iter().filter(|audience| wanted.contains(audience));
    let audiences: Vec<String> = fitting.cloned().collect();
    if audiences.is_empty() {
        return Err(TokenError::Audience {
            found: claims.aud,
            wanted: wanted.to_vec(),
        });
    }
    if !lives(store, &claims.private, now) {
        return Err(TokenError::Gone);
    }
    Ok((user(&claims), audiences))
}

fn read(keys: &ServiceAccountKeys, token: &str) -> Option<Claims> {
    let (message, signature) = token.rsplit_once('.')?;
    let (_, claims) = message.split_once('.')?;
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    // The algorithm is the key's, whatever the header says.
    if !keys.verifies(message.as_bytes(), &decode(signature)?) {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&decode(claims)?).ok()?;
    (claims.iss == ISSUER).then_some(claims)
}

/// Whether the account and what the token is bound to are still those of its issue.
fn lives(store: &Store, private: &Private, now: i64) -> bool {
    let namespace = Some(private.namespace.as_str());
    let same = |plural: &str, namespace: Option<&str>, reference: &Reference| {
        core_object(store, plural, namespace, &reference.name).is_some_and(|object| {
            let ended = meta::deletion_timestamp(&object).and_then(controlplane_api::time::parse);
            let over = ended.is_some_and(|end| end.as_second() + LEEWAY_SECONDS < now);
            meta::uid(&object) == reference.uid && !over
        })
    };
    let bound = |plural: &str, namespace: Option<&str>, reference: &Option<Reference>| {
        reference
            .as_ref()
            .is_none_or(|reference| same(plural, namespace, reference))
    };
    // A pod's token names its node, too; the pod is what it lives with.
    same("serviceaccounts", namespace, &private.serviceaccount)
        && bound("pods", namespace, &private.pod)
        && bound("secrets", namespace, &private.secret)
        && (private.pod.is_some() || bound("nodes", None, &private.node))
}

/// The stored object of a core kind.
pub(crate) fn core_object(store: &Store, plural: &str, namespace: Option<&str>, name: &str) -> Option<Value> {
    let namespace = namespace.map(|name| format!("{name}/")).unwrap_or_default();
    let key = Key::parse(&format!("{}{plural}/{namespace}{name}", Key::ROOT)).ok()?;
    let entry = store.get(&key)?;
    entry.value.to_json(entry.mod_revision).ok()
}

/// The account as it is called wherever users are.
pub(crate) fn user_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn user(claims: &Claims) -> UserInfo {
    let private = &claims.private;
    let mut user = UserInfo {
        username: user_name(&private.namespace, &private.serviceaccount.name),
        uid: private.serviceaccount.uid.clone(),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{}", private.namespace),
            "system:authenticated".to_owned(),
        ],
        ..UserInfo::default()
    };
    let mut extra = |key: &str, value: String| {
        user.extra
            .insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
    };
    extra("credential-id", format!("JTI={}", claims.jti));
    for (kind, reference) in [("pod", &private.pod), ("node", &private.node)] {
        if let Some(reference) = reference {
            extra(&format!("{kind}-name"), reference.name.clone());
            extra(&format!("{kind}-uid"), reference.uid.clone());
        }
    }
    user
}
