//! Tokens of the pod's service account.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceAccountTokenProjection;

/// For how long a token is wished that says nothing of it.
const SECONDS: i64 = 3600;

/// Which token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenWish {
    /// For whom it is; `None` is the API itself.
    pub audience: Option<String>,
    /// For how long.
    pub seconds: i64,
}

impl TokenWish {
    /// What a volume's source wishes.
    #[must_use]
    pub fn of(source: &ServiceAccountTokenProjection) -> Self {
        Self {
            audience: source.audience.clone().filter(|name| !name.is_empty()),
            seconds: source.expiration_seconds.unwrap_or(SECONDS),
        }
    }
}

/// Tokens by what was wished for.
pub type Tokens = BTreeMap<TokenWish, String>;

/// For what holds none: environments, and pods that wish for none.
pub static NO_TOKENS: Tokens = Tokens::new();
