//! Tokens of a registry's token service (Docker Registry v2 authentication, "Token" and "OAuth2").

use http::StatusCode;
use reqwest::Url;
use serde::Deserialize;

use super::credential::Kind;
use super::error::RegistryError;
use super::session::{Session, read};

/// Bytes of a token and what is around it.
const LIMIT: u64 = 256 << 10;
const CLIENT: &str = "floe";

/// What the registry wants a token of.
pub(crate) struct Wanted<'a> {
    pub(crate) realm: &'a str,
    pub(crate) service: Option<&'a str>,
    pub(crate) scope: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// Asks for a token, with what `kind` holds or anonymously.
pub(crate) async fn fetch(
    session: &Session,
    what: &str,
    wanted: &Wanted<'_>,
    kind: Option<&Kind>,
) -> Result<String, RegistryError> {
    let realm = realm(session, wanted.realm)?;
    let own = format!("repository:{}:pull", session.endpoint.repository);
    let scope = wanted.scope.unwrap_or(&own);
    let service = wanted.service.map(|service| ("service", service));
    let pairs = service.into_iter().chain([("scope", scope)]);
    let request = match kind {
        Some(Kind::Identity { token, .. }) => {
            let form = pairs.chain([
                ("grant_type", "refresh_token"),
                ("client_id", CLIENT),
                ("refresh_token", token.as_str()),
            ]);
            session
                .client()
                .post(realm)
                .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(encoded(form))
        }
        Some(Kind::Password { user, password }) => session
            .client()
            .get(with_query(realm, pairs))
            .basic_auth(user, Some(password)),
        Some(Kind::Token(_)) | None => session.client().get(with_query(realm, pairs)),
    };
    let response = session.request("a token", request).await?;
    let status = response.status();
    let response = session
        .accepted(what, response)
        .await
        .map_err(|error| of_service(session, what, status, error))?;
    let body = read("a token", response, LIMIT).await?;
    // Without the parser's words: they may quote the token.
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| no_token(what))?;
    let token = answer.token.or(answer.access_token);
    token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| no_token(what))
}

/// A token service that knows nothing of the repository says so as 400 or 404, where a registry says 401.
fn of_service(session: &Session, what: &str, status: StatusCode, error: RegistryError) -> RegistryError {
    match error {
        RegistryError::NotFound { .. } => session.refusal(what, StatusCode::UNAUTHORIZED, "no token", None),
        RegistryError::Refused { said, .. } if status == StatusCode::BAD_REQUEST => {
            let said = said.trim_start_matches(": ").to_owned();
            session.refusal(what, StatusCode::UNAUTHORIZED, &said, None)
        }
        other => other,
    }
}

fn no_token(what: &str) -> RegistryError {
    RegistryError::Malformed {
        what: format!("the answer of the token service for {what}"),
        problem: "holds no token".to_owned(),
    }
}

/// The service's address; never one by plain HTTP for a registry that is spoken to by TLS.
fn realm(session: &Session, realm: &str) -> Result<Url, RegistryError> {
    let url = Url::parse(realm).ok();
    let fits = |url: &Url| {
        url.scheme() == "https" || (url.scheme() == "http" && session.endpoint.scheme() == "http")
    };
    url.filter(fits).ok_or_else(|| RegistryError::Realm {
        realm: realm.chars().take(200).collect(),
    })
}

fn with_query<'a>(mut url: Url, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Url {
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

/// A form's text is a query's.
fn encoded<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let base = Url::parse("form:/");
    let url = base.map(|url| with_query(url, pairs));
    url.ok()
        .and_then(|url| url.query().map(str::to_owned))
        .unwrap_or_default()
}
