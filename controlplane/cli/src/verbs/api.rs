//! Raw requests: objects stay JSON, so that no field of a kind unknown here is lost.

use anyhow::anyhow;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::{Method, Request, header};
use kube::core::WatchEvent;
use serde_json::Value;

/// What lists and gets ask for to get the server's table.
const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// A body and its content type.
pub(crate) type Body<'a> = (&'static str, &'a Value);

/// What a watch says, until the server ends it.
pub(crate) type Changes = BoxStream<'static, Result<WatchEvent<Value>, kube::Error>>;

/// The API server.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) client: kube::Client,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { client }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, kube::Error> {
        self.client
            .request(request(Method::GET, path, "application/json", None)?)
            .await
    }

    /// The object at `path`; none where there is none.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>, kube::Error> {
        match self.get(path).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if code(&error) == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The table of what is at `path`, or whatever else the server has.
    pub(crate) async fn table(&self, path: &str) -> Result<Value, kube::Error> {
        self.client
            .request(request(Method::GET, path, AS_TABLE, None)?)
            .await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
    ) -> Result<Value, kube::Error> {
        self.client
            .request(request(method, path, "application/json", Some(body))?)
            .await
    }

    /// Changes at `path`, each object as it is or as a table.
    pub(crate) async fn watch(&self, path: &str, tables: bool) -> Result<Changes, kube::Error> {
        let accept = if tables { AS_TABLE } else { "application/json" };
        let events = self
            .client
            .request_events(request(Method::GET, path, accept, None)?)
            .await?;
        Ok(events.boxed())
    }
}

fn request(
    method: Method,
    path: &str,
    accept: &str,
    body: Option<Body<'_>>,
) -> Result<Request<Vec<u8>>, kube::Error> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, accept);
    let built = match body {
        None => request.body(Vec::new()),
        Some((content_type, body)) => {
            let bytes = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
            request.header(header::CONTENT_TYPE, content_type).body(bytes)
        }
    };
    built.map_err(kube::Error::HttpError)
}

/// The HTTP code with which the server refused.
pub(crate) fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// One sentence: the server's own words where it answered, else what went wrong on the way.
pub(crate) fn sentence(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => anyhow!(status.message),
        kube::Error::Api(status) => anyhow!("the server answered {} {}", status.code, status.reason),
        kube::Error::Service(cause) => anyhow!("{}", root(cause.as_ref())),
        kube::Error::HyperError(cause) => anyhow!("{}", root(&cause)),
        other => anyhow!(other),
    }
}

/// The innermost cause, which names the fact (`connection refused`) that the layers above it repeat.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// What was attempted, in front of why it failed. The server's words begin with the object (`pods "web" not found`);
/// where `what` ends with it (`get pod web`) it is named once.
pub(crate) fn refused(what: String, error: kube::Error) -> anyhow::Error {
    let said = sentence(error);
    match about(&what, &said.to_string()) {
        Some(why) => anyhow!("{why}").context(what),
        None => said.context(what),
    }
}

/// What `said` says about the object that `what` ends with, where it begins with that object.
fn about(what: &str, said: &str) -> Option<String> {
    let (kind, rest) = said.split_once(" \"")?;
    let (name, why) = rest.split_once("\" ")?;
    let named = what.rsplit([' ', '/']).next()?;
    let same = named == name && !kind.contains(' ');
    same.then(|| why.strip_prefix("is ").unwrap_or(why).to_owned())
}

/// Says what was attempted in front of why it failed.
pub(crate) trait Attempt<T> {
    fn attempt(self, what: impl FnOnce() -> String) -> anyhow::Result<T>;
}

impl<T> Attempt<T> for Result<T, kube::Error> {
    fn attempt(self, what: impl FnOnce() -> String) -> anyhow::Result<T> {
        self.map_err(|error| refused(what(), error))
    }
}

/// Escapes what may not stand in a path segment or query value.
pub(crate) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    let escaped = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(escaped).collect()
}

/// Appends the parameters that have a value to `path`.
pub(crate) fn query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", escape((*value)?))));
    let joined = given.collect::<Vec<_>>().join("&");
    if joined.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{joined}")
    }
}

#[cfg(test)]
mod tests {
    use super::about;

    #[test]
    fn an_object_is_named_once_whoever_names_it() {
        for (what, said, why) in [
            ("get pod web", "pods \"web\" not found", "not found"),
            (
                "apply deployment.apps a/web",
                "deployments.apps \"web\" already exists",
                "already exists",
            ),
            (
                "apply pod web",
                "Pod \"web\" is invalid: spec: Required value",
                "invalid: spec: Required value",
            ),
            ("delete pod web", "pods \"web\" is forbidden: no", "forbidden: no"),
        ] {
            assert_eq!(about(what, said).as_deref(), Some(why), "{what}: {said}");
        }
    }

    #[test]
    fn what_is_said_of_anything_else_is_left_as_it_is() {
        for (what, said) in [
            ("get pod web", "namespaces \"shop\" not found"),
            ("list pods", "pods \"web\" not found"),
            (
                "update pod web",
                "Operation cannot be fulfilled on pods \"web\" now",
            ),
            ("get pod web", "connection refused"),
        ] {
            assert_eq!(about(what, said), None, "{what}: {said}");
        }
    }
}
