//! A conversation with one registry about one repository, with one credential or none.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use oci_client::secrets::RegistryAuth;
use oci_client::token_cache::{RegistryOperation, RegistryToken, RegistryTokenType};
use reqwest::{RequestBuilder, Response};
use tokio::sync::Mutex;

use super::challenge::Challenge;
use super::credential::{Credential, Kind};
use super::endpoint::Endpoint;
use super::error::{RegistryError, Remedy};
use super::patience::Patience;
use super::token;

/// Bytes of an error's body that are read.
const WORDS: u64 = 16 << 10;
/// Letters of the registry's words that are passed on.
const SAID: usize = 300;

/// What requests carry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    Basic { user: String, password: String },
    Bearer(String),
}

/// One registry, one repository, one credential.
pub(crate) struct Session {
    pub(crate) endpoint: Endpoint,
    pub(crate) patience: Patience,
    client: reqwest::Client,
    credential: Option<Credential>,
    shown: Mutex<Shown>,
    /// The client of layers, with what it shows.
    blobs: Mutex<Option<(Shown, oci_client::Client)>>,
}

/// A manifest, an index or a configuration, as it came.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    pub(crate) headers: HeaderMap,
}

/// What is asked for.
pub(crate) struct Wish<'a> {
    /// In words, for messages.
    pub(crate) what: &'a str,
    pub(crate) method: Method,
    /// Beneath the repository.
    pub(crate) path: String,
    pub(crate) accept: &'static str,
    /// Bytes that the answer may have.
    pub(crate) limit: u64,
}

impl Session {
    pub(crate) async fn new(
        endpoint: Endpoint,
        credential: Option<Credential>,
        patience: &Patience,
    ) -> Result<Self, RegistryError> {
        let shown = match credential.as_ref().map(|c| &c.kind) {
            Some(Kind::Token(token)) => Shown::Bearer(token.clone()),
            Some(Kind::Password { .. } | Kind::Identity { .. }) | None => Shown::Nothing,
        };
        Ok(Self {
            client: apart(&endpoint, patience, Endpoint::client).await?,
            endpoint,
            patience: patience.clone(),
            credential,
            shown: Mutex::new(shown),
            blobs: Mutex::new(None),
        })
    }

    /// Asks until there is an answer, or asking again is no use.
    pub(crate) async fn ask(&self, wish: &Wish<'_>) -> Result<Document, RegistryError> {
        let mut failures = 0;
        loop {
            let asked = tokio::time::timeout(self.patience.document, self.ask_once(wish));
            let result = asked.await.unwrap_or_else(|_| {
                Err(RegistryError::Stalled {
                    what: wish.what.to_owned(),
                    within: self.patience.document,
                })
            });
            let Err(error) = result else { return result };
            failures += 1;
            // Somebody who is not there is seldom there a second later, and is asked again by the back-off.
            let tries = if error.is_nobody_there() {
                2
            } else {
                self.patience.tries
            };
            match error.remedy() {
                Remedy::Again(asked) if failures < tries => {
                    tokio::time::sleep(self.patience.pause_after(failures, asked)).await;
                }
                Remedy::Again(_) | Remedy::OtherCredentials | Remedy::Elsewhere | Remedy::Nothing => {
                    return Err(error);
                }
            }
        }
    }

    async fn ask_once(&self, wish: &Wish<'_>) -> Result<Document, RegistryError> {
        let shown = self.shown.lock().await.clone();
        let mut response = self.send(wish, &shown).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(challenge) = Challenge::best(response.headers())
            && let Some(shown) = self.authorize(wish.what, &challenge, &shown).await?
        {
            response = self.send(wish, &shown).await?;
        }
        let headers = response.headers().clone();
        let response = self.accepted(wish.what, response).await?;
        let bytes = read(wish.what, response, wish.limit).await?;
        Ok(Document { bytes, headers })
    }

    async fn send(&self, wish: &Wish<'_>, shown: &Shown) -> Result<Response, RegistryError> {
        let url = self.endpoint.url(&wish.path);
        let request = self
            .client
            .request(wish.method.clone(), url)
            .header(http::header::ACCEPT, wish.accept);
        let request = match shown {
            Shown::Nothing => request,
            Shown::Basic { user, password } => request.basic_auth(user, Some(password)),
            Shown::Bearer(token) => request.bearer_auth(token),
        };
        self.request(wish.what, request).await
    }

    pub(crate) const fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(crate) async fn request(
        &self,
        what: &str,
        request: RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let sent = request.send().await;
        sent.map_err(|source| RegistryError::unreachable(what, source))
    }

    /// What to show instead of `refused`; `None` where there is nothing else.
    async fn authorize(
        &self,
        what: &str,
        challenge: &Challenge,
        refused: &Shown,
    ) -> Result<Option<Shown>, RegistryError> {
        let mut shown = self.shown.lock().await;
        if *shown != *refused {
            // Another request of this session was quicker.
            return Ok(Some(shown.clone()));
        }
        let fresh = match (challenge, self.credential.as_ref().map(|c| &c.kind)) {
            (_, Some(Kind::Token(_))) => return Ok(None),
            (Challenge::Basic, Some(Kind::Password { user, password })) => Shown::Basic {
                user: user.clone(),
                password: password.clone(),
            },
            (Challenge::Basic, Some(Kind::Identity { .. }) | None) => return Ok(None),
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                },
                kind,
            ) => {
                let wanted = token::Wanted {
                    realm,
                    service: service.as_deref(),
                    scope: scope.as_deref(),
                };
                Shown::Bearer(token::fetch(self, what, &wanted, kind).await?)
            }
        };
        if fresh == *refused {
            return Ok(None);
        }
        *shown = fresh.clone();
        Ok(Some(fresh))
    }

    /// The client of this session's layers, which shows what was last accepted.
    pub(crate) async fn blobs(&self) -> Result<oci_client::Client, RegistryError> {
        let shown = self.shown.lock().await.clone();
        let mut kept = self.blobs.lock().await;
        if let Some((_, client)) = kept.as_ref().filter(|(with, _)| *with == shown) {
            return Ok(client.clone());
        }
        let client = apart(&self.endpoint, &self.patience, Endpoint::blob_client).await?;
        let reference = self.endpoint.blob_reference("");
        let (auth, token) = match shown.clone() {
            Shown::Nothing => {
                *kept = Some((shown, client.clone()));
                return Ok(client);
            }
            Shown::Basic { user, password } => (
                RegistryAuth::Basic(user.clone(), password.clone()),
                RegistryTokenType::Basic(user, password),
            ),
            Shown::Bearer(token) => (
                RegistryAuth::Bearer(token.clone()),
                RegistryTokenType::Bearer(RegistryToken::Token { token }),
            ),
        };
        // Both are set, so that the client never asks for a token itself: it would read one of any length.
        client
            .store_auth_if_needed(reference.resolve_registry(), &auth)
            .await;
        client
            .tokens
            .insert(&reference, RegistryOperation::Pull, token)
            .await;
        *kept = Some((shown, client.clone()));
        Ok(client)
    }

    /// As whom the session speaks, for messages.
    pub(crate) fn user(&self) -> Option<String> {
        let credential = self.credential.as_ref()?;
        Some(credential.user().unwrap_or("token").to_owned())
    }

    /// Turns an answer that is none into an error.
    pub(crate) async fn accepted(&self, what: &str, response: Response) -> Result<Response, RegistryError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let again = response
            .headers()
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        // The status tells enough where the words cannot be read.
        let body = read(what, response, WORDS).await.unwrap_or_default();
        Err(self.refusal(what, status, &words(&body), again))
    }

    /// The error for an answer's status.
    pub(crate) fn refusal(
        &self,
        what: &str,
        status: StatusCode,
        said: &str,
        again: Option<Duration>,
    ) -> RegistryError {
        let what = what.to_owned();
        let said = if said.is_empty() {
            String::new()
        } else {
            format!(": {said}")
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied {
                what,
                user: self.user(),
                said: format!(" ({status}{said})"),
            },
            StatusCode::NOT_FOUND => RegistryError::NotFound { what },
            status => RegistryError::Refused {
                what,
                status: status.as_u16(),
                said,
                again,
            },
        }
    }
}

/// Makes a client on a thread that may wait: the machine's authorities are some hundred files.
async fn apart<C: Send + 'static>(
    endpoint: &Endpoint,
    patience: &Patience,
    make: fn(&Endpoint, &Patience) -> Result<C, RegistryError>,
) -> Result<C, RegistryError> {
    let (endpoint, patience) = (endpoint.clone(), patience.clone());
    let made = tokio::task::spawn_blocking(move || make(&endpoint, &patience)).await;
    made.map_err(|error| RegistryError::Broken {
        what: "the machine's certificate authorities".to_owned(),
        source: std::io::Error::other(error),
    })?
}

/// Reads an answer that may have `limit` bytes.
pub(crate) async fn read(what: &str, mut response: Response, limit: u64) -> Result<Bytes, RegistryError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|source| RegistryError::unreachable(what, source))?;
        let Some(chunk) = chunk else {
            return Ok(bytes.into());
        };
        if bytes.len().saturating_add(chunk.len()) as u64 > limit {
            return Err(RegistryError::TooLong {
                what: what.to_owned(),
                limit,
            });
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// The words of an error's body, which is JSON or not; without what could mislead in a terminal.
fn words(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Errors>(body) {
        Ok(parsed) => {
            let one = |e: &One| {
                let both = [e.code.as_str(), e.message.as_str()];
                both.into_iter()
                    .filter(|t| !t.is_empty())
                    .collect::<Vec<_>>()
                    .join(": ")
            };
            parsed.errors.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(SAID).collect::<String>().trim().to_owned()
}
