//! Names as a proxy's path has them: `name`, `name:port` or `scheme:name:port`. Pure.
//!
//! Source: apimachinery, `pkg/util/net`, `SplitSchemeNamePort`.

/// How the far end is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    /// Without looking at whose certificate it is: pods have none that this server could check.
    Https,
}

/// The parts of a name; no port is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) scheme: Scheme,
    pub(super) name: &'a str,
    pub(super) port: &'a str,
}

impl<'a> Name<'a> {
    /// Takes a name apart; `None` for what is none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match *parts.as_slice() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        let scheme = match scheme {
            "" | "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        (!name.is_empty()).then_some(Self { scheme, name, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_upstream_does() {
        let table = [
            ("web", Some((Scheme::Http, "web", ""))),
            ("web:80", Some((Scheme::Http, "web", "80"))),
            ("web:http", Some((Scheme::Http, "web", "http"))),
            (":web:", Some((Scheme::Http, "web", ""))),
            ("http:web:80", Some((Scheme::Http, "web", "80"))),
            ("https:web:443", Some((Scheme::Https, "web", "443"))),
            ("https:web:", Some((Scheme::Https, "web", ""))),
            ("ftp:web:21", None),
            ("", None),
            (":80", None),
            ("a:b:c:d", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(scheme, name, port)| Name { scheme, name, port });
            assert_eq!(Name::parse(text), expected, "{text}");
        }
    }
}
