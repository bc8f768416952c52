//! Links in what a proxied server answers, changed so that they lead back through the proxy. Pure.
//!
//! Source: apimachinery, `pkg/util/proxy/transport.go`, `rewriteURL`.

/// What links are measured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Links {
    /// Path under which the proxied server's root is seen, such as `/api/v1/namespaces/a/services/b/proxy`.
    pub(super) root: String,
    /// Address and port of the proxied server.
    pub(super) authority: String,
    /// The host that the client asked.
    pub(super) asked: String,
}

/// A link, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts<'a> {
    /// With its colon.
    scheme: &'a str,
    host: Option<&'a str>,
    path: &'a str,
    /// Query and fragment with their signs.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(link: &'a str) -> Self {
        let split = |at: usize| link.split_at_checked(at).unwrap_or((link, ""));
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let end = link.find(|c| !word(c)).unwrap_or(0);
        let (scheme, after) = match link.get(end..end.saturating_add(1)) {
            Some(":") if end > 0 => split(end.saturating_add(1)),
            _ => ("", link),
        };
        let (host, after) = match after.strip_prefix("//") {
            None => (None, after),
            Some(after) => {
                let end = after.find(['/', '?', '#']).unwrap_or(after.len());
                let (host, after) = after.split_at_checked(end).unwrap_or((after, ""));
                (Some(host), after)
            }
        };
        let end = after.find(['?', '#']).unwrap_or(after.len());
        let (path, rest) = after.split_at_checked(end).unwrap_or((after, ""));
        Self {
            scheme,
            host,
            path,
            rest,
        }
    }
}

impl Links {
    /// `link` as the client can use it; links to other hosts, and relative ones, stay as they are.
    pub(super) fn rewrite(&self, link: &str) -> String {
        let Parts {
            scheme,
            host,
            path,
            rest,
        } = Parts::of(link);
        let host = host.filter(|host| !host.is_empty());
        let elsewhere = host.is_some_and(|host| host != self.authority && host != self.asked);
        if elsewhere || !path.starts_with('/') {
            return link.to_owned();
        }
        let front = match host {
            Some(host) if host == self.asked => format!("{scheme}//{host}"),
            _ => String::new(),
        };
        if path.starts_with(&self.root) {
            return format!("{front}{path}{rest}");
        }
        format!("{front}{}{rest}", self.within(path))
    }

    /// `path` of the proxied server as the client sees it, without dots and double slashes.
    pub(super) fn within(&self, path: &str) -> String {
        let mut segments: Vec<&str> = self.root.split('/').filter(|one| !one.is_empty()).collect();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        let slash = if path.ends_with('/') { "/" } else { "" };
        format!("/{}{slash}", segments.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_through_the_proxy_as_upstream_has_them() {
        let links = Links {
            root: "/proxy/a".to_owned(),
            authority: "10.42.0.5:80".to_owned(),
            asked: "localhost:8001".to_owned(),
        };
        let table = [
            ("/", "/proxy/a/"),
            ("/x/y?z=1#w", "/proxy/a/x/y?z=1#w"),
            ("/x//y/../z/", "/proxy/a/x/z/"),
            ("x/y", "x/y"),
            ("?q", "?q"),
            ("#top", "#top"),
            ("", ""),
            ("/proxy/a/x", "/proxy/a/x"),
            ("http://10.42.0.5:80/x", "/proxy/a/x"),
            ("//10.42.0.5:80/x", "/proxy/a/x"),
            ("http://localhost:8001/x", "http://localhost:8001/proxy/a/x"),
            ("http://example.org/x", "http://example.org/x"),
            ("//example.org/x", "//example.org/x"),
            ("mailto:a@b", "mailto:a@b"),
            ("javascript:go('/')", "javascript:go('/')"),
            ("http://10.42.0.5:80", "http://10.42.0.5:80"),
            ("é/x", "é/x"),
        ];
        for (link, expected) in table {
            assert_eq!(links.rewrite(link), expected, "{link}");
        }
    }
}
