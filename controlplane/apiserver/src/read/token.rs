//! The continue token of a paged list, as upstream has it: a revision and the key at which to go on.

use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine};
use controlplane_api::ApiError;
use controlplane_store::{Key, Revision};
use serde::{Deserialize, Serialize};

/// Where the next page of a list begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// The snapshot that is paged over; none for the newest state at each page.
    pub(crate) revision: Option<Revision>,
    /// Last key sent.
    pub(crate) after: Key,
}

#[derive(Debug, Serialize, Deserialize)]
struct Encoded {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    /// The first key that could follow, relative to the list's folder.
    #[serde(default)]
    start: String,
}

const VERSION: &str = "meta.k8s.io/v1";

/// The smallest text after a key is that key with this at its end.
const SUCCESSOR: char = '\0';

/// Why a text is no token.
#[derive(Debug, thiserror::Error)]
enum NoToken {
    #[error("continue key is not valid: illegal base64 data at input byte {0}")]
    Base64(usize),
    #[error("continue key is not valid: {0}")]
    Json(serde_json::Error),
    #[error("continue key is not valid: server does not recognize this encoded version {0}")]
    Version(String),
    #[error("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")]
    Revision,
    #[error("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")]
    NoKey,
    #[error("continue key is not valid")]
    Key,
}

impl Token {
    /// The text that the client sends back.
    pub(crate) fn encode(&self, folder: &str) -> String {
        let after = self.after.as_str().strip_prefix(folder).unwrap_or_default();
        let revision = self.revision.map(|revision| i64::try_from(revision.get()));
        let encoded = Encoded {
            v: VERSION.to_owned(),
            // As upstream: whatever is newest when the page is asked for.
            rv: revision.map_or(-1, |revision| revision.unwrap_or(i64::MAX)),
            start: format!("{after}{SUCCESSOR}"),
        };
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&encoded).unwrap_or_default())
    }

    /// Reads back a token; the key is forced under `folder`, so a forged token reads nothing else.
    ///
    /// # Errors
    ///
    /// 400 for anything that [`Token::encode`] did not make.
    pub(crate) fn decode(text: &str, folder: &str) -> Result<Self, ApiError> {
        read(text, folder).map_err(|error| ApiError::bad_request(format!("invalid continue token: {error}")))
    }
}

fn read(text: &str, folder: &str) -> Result<Token, NoToken> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|error| match error {
        DecodeError::InvalidByte(place, _) | DecodeError::InvalidLastSymbol { offset: place, .. } => {
            NoToken::Base64(place)
        }
        DecodeError::InvalidLength(length) => NoToken::Base64(length),
        DecodeError::InvalidPadding => NoToken::Base64(text.len()),
    })?;
    let Encoded { v, rv, start } = serde_json::from_slice(&bytes).map_err(NoToken::Json)?;
    if v != VERSION {
        return Err(NoToken::Version(v));
    }
    if rv == 0 {
        return Err(NoToken::Revision);
    }
    if start.is_empty() {
        return Err(NoToken::NoKey);
    }
    let after = start.strip_suffix(SUCCESSOR).ok_or(NoToken::Key)?;
    if after.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(NoToken::Key);
    }
    Ok(Token {
        revision: u64::try_from(rv).ok().map(Revision::from),
        after: Key::parse(&format!("{folder}{after}")).map_err(|_| NoToken::Key)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(json: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn a_token_leads_back_to_its_key_and_nowhere_else() {
        let token = Token {
            revision: Some(Revision::from(7)),
            after: Key::parse("/registry/pods/default/web").unwrap(),
        };
        let text = token.encode("/registry/pods/");
        assert_eq!(Token::decode(&text, "/registry/pods/").unwrap(), token);
        let elsewhere = Token::decode(&text, "/registry/secrets/").unwrap().after;
        assert_eq!(elsewhere.as_str(), "/registry/secrets/default/web");
        let newest = Token {
            revision: None,
            ..token
        };
        let text = newest.encode("/registry/pods/");
        assert_eq!(Token::decode(&text, "/registry/pods/").unwrap(), newest);
    }

    #[test]
    fn what_is_no_token_is_refused_and_says_why() {
        let table = [
            (
                "gar%bage".to_owned(),
                "continue key is not valid: illegal base64 data at input byte 3",
            ),
            (
                encoded("{"),
                "continue key is not valid: EOF while parsing an object at line 1 column 1",
            ),
            (
                encoded(r#"{"v":"v9","rv":1,"start":"a\u0000"}"#),
                "continue key is not valid: server does not recognize this encoded version v9",
            ),
            (
                encoded(r#"{"v":"meta.k8s.io/v1","start":"a\u0000"}"#),
                "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (
                encoded(r#"{"v":"meta.k8s.io/v1","rv":1}"#),
                "continue key is not valid: encoded start key empty (version meta.k8s.io/v1)",
            ),
            (
                encoded(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a\u0000"}"#),
                "continue key is not valid",
            ),
        ];
        for (text, why) in table {
            let error = Token::decode(&text, "/registry/pods/").unwrap_err();
            assert_eq!(error.code(), 400);
            assert_eq!(error.to_string(), format!("invalid continue token: {why}"));
        }
    }
}
