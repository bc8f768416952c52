//! The continue token of a paged list: a revision and the last key that was sent.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use controlplane_api::ApiError;
use controlplane_store::{Key, Revision};
use serde::{Deserialize, Serialize};

/// Where the next page of a list begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    v: String,
    /// Revision of the snapshot.
    rv: u64,
    /// Last key sent, relative to the list's folder.
    after: String,
}

const VERSION: &str = "meta.k8s.io/v1";

impl Token {
    /// The token for what follows `last` at `revision`.
    pub(crate) fn new(revision: Revision, folder: &str, last: &Key) -> Self {
        let after = last.as_str().strip_prefix(folder).unwrap_or_default().to_owned();
        Self {
            v: VERSION.to_owned(),
            rv: revision.get(),
            after,
        }
    }

    /// The text that the client sends back.
    pub(crate) fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads back a token; the key is forced under `folder`, so a forged token reads nothing else.
    ///
    /// # Errors
    ///
    /// 400 for anything that [`Token::encode`] did not make.
    pub(crate) fn decode(text: &str, folder: &str) -> Result<(Revision, Key), ApiError> {
        let invalid = || ApiError::bad_request("continue key is not valid: list again without it");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        if token.v != VERSION || token.rv == 0 {
            return Err(invalid());
        }
        let key = Key::parse(&format!("{folder}{}", token.after)).map_err(|_| invalid())?;
        Ok((Revision::from(token.rv), key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_key_and_nowhere_else() {
        let key = Key::parse("/registry/pods/default/web").unwrap();
        let text = Token::new(Revision::from(7), "/registry/pods/", &key).encode();
        assert_eq!(
            Token::decode(&text, "/registry/pods/").unwrap(),
            (Revision::from(7), key)
        );
        let elsewhere = Token::decode(&text, "/registry/secrets/").unwrap().1;
        assert_eq!(elsewhere.as_str(), "/registry/secrets/default/web");
        assert_eq!(
            Token::decode("garbage", "/registry/pods/").unwrap_err().code(),
            400
        );
    }
}
