//! Headers of proxied requests and answers. Pure.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Of one connection only (RFC 9110, §7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What says who asks. It is for this server; whoever answers behind the proxy could use it in the user's name.
const IDENTITY: [&str; 2] = ["impersonate-", "x-remote-"];

/// Answers of a proxied server say nothing about this one's origin (apimachinery, `corsRemovingTransport`).
const CROSS_ORIGIN: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

/// Whether a client asks for another protocol on its connection.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    named_by_connection(headers).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && headers.contains_key(UPGRADE)
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Takes away what is for one connection; an upgrade is kept where `upgrades` says so.
fn take_hops(headers: &mut HeaderMap, upgrades: bool) {
    let upgrade = headers.get(UPGRADE).cloned().filter(|_| upgrades);
    let named: Vec<HeaderName> = named_by_connection(headers)
        .filter_map(|name| name.parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(UPGRADE, upgrade);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
}

/// What a request is told on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage<'a> {
    pub(super) upgrades: bool,
    /// Host that the client asked.
    pub(super) asked: &'a str,
    pub(super) client: Option<IpAddr>,
    /// Path as the client sees it.
    pub(super) uri: &'a str,
}

/// The headers of a request as it is handed on.
pub(super) fn outgoing(mut headers: HeaderMap, passage: Passage<'_>) -> HeaderMap {
    take_hops(&mut headers, passage.upgrades);
    headers.remove(AUTHORIZATION);
    let identity: Vec<HeaderName> = headers
        .keys()
        .filter(|name| IDENTITY.iter().any(|prefix| name.as_str().starts_with(prefix)))
        .cloned()
        .collect();
    for name in identity {
        headers.remove(name);
    }
    if let Ok(host) = HeaderValue::from_str(passage.asked) {
        headers.insert(HOST, host);
    }
    if let Ok(uri) = HeaderValue::from_str(passage.uri) {
        headers.insert(FORWARDED_URI, uri);
    }
    if let Some(client) = passage.client {
        let before = headers.get_all(FORWARDED_FOR).into_iter();
        let mut all: Vec<String> = before
            .filter_map(|value| value.to_str().ok())
            .map(str::to_owned)
            .collect();
        all.push(client.to_canonical().to_string());
        if let Ok(all) = HeaderValue::from_str(&all.join(", ")) {
            headers.insert(FORWARDED_FOR, all);
        }
    }
    headers
}

/// The headers of an answer as it is handed back.
pub(super) fn incoming(mut headers: HeaderMap, upgrades: bool) -> HeaderMap {
    take_hops(&mut headers, upgrades);
    for name in CROSS_ORIGIN {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    fn passage(upgrades: bool) -> Passage<'static> {
        Passage {
            upgrades,
            asked: "api:6443",
            client: Some("::ffff:10.0.0.9".parse().unwrap()),
            uri: "/proxy/a/x",
        }
    }

    #[test]
    fn credentials_and_what_is_for_one_connection_stay_here() {
        let sent = map(&[
            ("authorization", "Bearer secret"),
            ("impersonate-user", "root"),
            ("x-remote-group", "system:masters"),
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("te", "trailers"),
            ("cookie", "kept"),
            ("x-forwarded-for", "1.2.3.4"),
        ]);
        let expected = map(&[
            ("cookie", "kept"),
            ("host", "api:6443"),
            ("x-forwarded-for", "1.2.3.4, 10.0.0.9"),
            ("x-forwarded-uri", "/proxy/a/x"),
        ]);
        assert_eq!(outgoing(sent, passage(false)), expected);
    }

    #[test]
    fn an_upgrade_is_asked_for_anew() {
        let sent = map(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "k"),
        ]);
        assert!(is_upgrade(&sent));
        let out = outgoing(sent, passage(true));
        assert_eq!(
            (&out["connection"], &out["upgrade"]),
            (&"Upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
        assert!(!is_upgrade(&map(&[("upgrade", "websocket")])));
    }

    #[test]
    fn an_answer_says_nothing_about_origins() {
        let sent = map(&[
            ("access-control-allow-origin", "*"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "a=b"),
        ]);
        assert_eq!(incoming(sent, false), map(&[("set-cookie", "a=b")]));
    }
}
