//! The path of a resource request, such as `/apis/apps/v1/namespaces/default/deployments/web/scale`.

/// What a resource path names; upstream's `RequestInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourcePath {
    /// API group; empty for core.
    pub(crate) group: String,
    /// API version, such as `v1`.
    pub(crate) version: String,
    /// Namespace; `None` for cluster-scoped resources and for requests over all namespaces.
    pub(crate) namespace: Option<String>,
    /// Plural resource name.
    pub(crate) plural: String,
    /// Object name; `None` for the collection.
    pub(crate) name: Option<String>,
    /// Subresource, such as `status`.
    pub(crate) subresource: Option<String>,
    /// Whether the path is one of the old ones for watches, such as `/api/v1/watch/pods`.
    pub(crate) watch: bool,
    /// What follows a `proxy` subresource, as it came: empty, or with its first slash. It is the path of somebody
    /// else's server.
    pub(crate) proxied: Option<String>,
}

/// The segment that ends the part of a path which is ours.
const PROXY: &str = "/proxy";

impl ResourcePath {
    /// Parses a URI path; `None` where it does not name a resource.
    ///
    /// Segments are percent-decoded one by one, so an encoded slash never makes a new segment; it
    /// makes the path name nothing instead.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        Self::parse_proxied(path).or_else(|| Self::parse_whole(path))
    }

    /// A path with a `proxy` subresource, and what follows it.
    fn parse_proxied(path: &str) -> Option<Self> {
        path.match_indices(PROXY).find_map(|(at, _)| {
            let (own, rest) = path.split_at_checked(at.saturating_add(PROXY.len()))?;
            if !rest.is_empty() && !rest.starts_with('/') {
                return None;
            }
            let found = Self::parse_whole(own)?;
            (found.subresource.as_deref() == Some("proxy") && !found.watch).then(|| Self {
                proxied: Some(rest.to_owned()),
                ..found
            })
        })
    }

    fn parse_whole(path: &str) -> Option<Self> {
        let segments = path.strip_prefix('/')?.trim_end_matches('/').split('/');
        let segments: Vec<String> = segments.map(decode).collect::<Option<_>>()?;
        let mut rest = segments.into_iter();
        let (group, version) = match rest.next()?.as_str() {
            "api" => (String::new(), rest.next()?),
            "apis" => (rest.next()?, rest.next()?),
            _ => return None,
        };
        let rest: Vec<String> = rest.collect();
        let (watch, rest) = match rest.as_slice() {
            [word, rest @ ..] if word == "watch" && !rest.is_empty() => (true, rest),
            rest => (false, rest),
        };
        Self {
            group,
            version,
            watch,
            ..Self::default()
        }
        .with_rest(rest)
    }

    fn with_rest(mut self, rest: &[String]) -> Option<Self> {
        let (namespace, rest) = match rest {
            [word, namespace, rest @ ..] if word == "namespaces" && in_namespace(rest) => {
                (Some(namespace), rest)
            }
            rest => (None, rest),
        };
        self.namespace = namespace.cloned();
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(name), None),
            [plural, name, subresource] => (plural, Some(name), Some(subresource)),
            _ => return None,
        };
        self.plural.clone_from(plural);
        self.name = name.cloned();
        self.subresource = subresource.cloned();
        Some(self)
    }
}

/// Whether what follows `namespaces/<name>/` is a resource in it, and not a subresource of the
/// namespace itself.
fn in_namespace(rest: &[String]) -> bool {
    match rest {
        [] => false,
        [only] => !matches!(only.as_str(), "status" | "finalize"),
        _ => true,
    }
}

/// Percent-decodes one segment; `None` for what no name can be.
fn decode(segment: &str) -> Option<String> {
    let decoded = percent_decode(segment)?;
    let forbidden =
        decoded.is_empty() || decoded == "." || decoded == ".." || decoded.contains(['/', '\0', '%']);
    (!forbidden).then_some(decoded)
}

fn percent_decode(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let (hex, after) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(path: &str) -> Option<String> {
        let p = ResourcePath::parse(path)?;
        let part = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        Some(format!(
            "{}/{} {} {} {} {}",
            p.group,
            p.version,
            part(p.namespace),
            p.plural,
            part(p.name),
            part(p.subresource)
        ))
    }

    #[test]
    fn every_shape_of_resource_path_is_understood() {
        let table = [
            ("/api/v1/pods", "/v1 - pods - -"),
            ("/api/v1/namespaces", "/v1 - namespaces - -"),
            ("/api/v1/namespaces/default", "/v1 - namespaces default -"),
            (
                "/api/v1/namespaces/default/status",
                "/v1 - namespaces default status",
            ),
            (
                "/api/v1/namespaces/default/finalize",
                "/v1 - namespaces default finalize",
            ),
            ("/api/v1/namespaces/default/pods", "/v1 default pods - -"),
            ("/api/v1/namespaces/default/pods/web", "/v1 default pods web -"),
            (
                "/api/v1/namespaces/default/pods/web/log",
                "/v1 default pods web log",
            ),
            ("/api/v1/nodes/n1/status", "/v1 - nodes n1 status"),
            (
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                "apps/v1 a deployments b scale",
            ),
            ("/apis/apps/v1/deployments/", "apps/v1 - deployments - -"),
            ("/api/v1/nodes/system%3Anode%3Aa", "/v1 - nodes system:node:a -"),
        ];
        for (path, expected) in table {
            assert_eq!(words(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn what_follows_a_proxy_is_kept_as_it_came() {
        let table = [
            (
                "/api/v1/namespaces/a/pods/b:80/proxy",
                "/v1 a pods b:80 proxy",
                "",
            ),
            (
                "/api/v1/namespaces/a/services/b/proxy/",
                "/v1 a services b proxy",
                "/",
            ),
            (
                "/api/v1/namespaces/a/services/https:b:c/proxy/x//y%2Fz/../w/",
                "/v1 a services https:b:c proxy",
                "/x//y%2Fz/../w/",
            ),
            ("/api/v1/nodes/n/proxy/proxy/x", "/v1 - nodes n proxy", "/proxy/x"),
            (
                "/api/v1/namespaces/a/pods/proxy/proxy/x",
                "/v1 a pods proxy proxy",
                "/x",
            ),
        ];
        for (path, expected, rest) in table {
            assert_eq!(words(path).as_deref(), Some(expected), "{path}");
            let proxied = ResourcePath::parse(path).unwrap().proxied;
            assert_eq!(proxied.as_deref(), Some(rest), "{path}");
        }
        assert_eq!(
            ResourcePath::parse("/api/v1/namespaces/a/pods/proxy")
                .unwrap()
                .proxied,
            None
        );
        assert_eq!(words("/api/v1/namespaces/a/pods/b/proxyx/c"), None);
    }

    #[test]
    fn a_path_that_could_leave_its_folder_names_nothing() {
        for path in [
            "/api/v1/namespaces/../pods",
            "/api/v1/namespaces/a%2Fb/pods",
            "/api/v1/pods//x",
            "/api/v1/namespaces/a/pods/%",
            "/api/v1/namespaces/a/pods/%zz",
            "/api",
            "/metrics/x",
            "/apis/apps",
            "/api/v1/namespaces/a/pods/b/c/d",
        ] {
            assert_eq!(words(path), None, "{path}");
        }
    }
}
