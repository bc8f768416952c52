//! Bearer tokens among the subprotocols of a WebSocket: a browser's page can set no other header of it. Pure.
//!
//! Source: apiserver, `pkg/authentication/request/websocket`.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};

const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// Takes the token out of the headers, so that nobody behind this server is told it. None where there is not exactly one,
/// or no other subprotocol, which the answer has to name.
pub(super) fn take(headers: &mut HeaderMap) -> Option<String> {
    let upgrade = headers.get(UPGRADE)?.as_bytes();
    if !upgrade.eq_ignore_ascii_case(b"websocket") {
        return None;
    }
    let all = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let offered: Vec<&str> = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let (tokens, others): (Vec<&str>, Vec<&str>) =
        offered.into_iter().partition(|one| one.starts_with(PREFIX));
    let [token] = tokens.as_slice() else {
        return None;
    };
    let token = BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    let token = String::from_utf8(token).ok()?;
    let others = HeaderValue::from_str(&others.join(", ")).ok();
    let others = others.filter(|others| !others.is_empty())?;
    headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(upgrade: &str, protocols: &[&str]) -> (Option<String>, Vec<String>) {
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, upgrade.parse().unwrap());
        for protocol in protocols {
            headers.append(SEC_WEBSOCKET_PROTOCOL, protocol.parse().unwrap());
        }
        let token = take(&mut headers);
        let left = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
        (
            token,
            left.map(|value| value.to_str().unwrap().to_owned()).collect(),
        )
    }

    #[test]
    fn a_token_is_taken_out_and_the_other_protocols_stay() {
        let one = "base64url.bearer.authorization.k8s.io.c2VjcmV0";
        let (token, left) = taken("WebSocket", &["v4.channel.k8s.io, x", one]);
        assert_eq!(
            (token.as_deref(), left),
            (Some("secret"), vec!["v4.channel.k8s.io, x".to_owned()])
        );
    }

    #[test]
    fn what_is_no_single_token_beside_a_protocol_is_none() {
        let one = "base64url.bearer.authorization.k8s.io.c2VjcmV0";
        for (upgrade, protocols) in [
            ("websocket", vec![one]),
            ("websocket", vec![one, one, "x"]),
            (
                "websocket",
                vec!["base64url.bearer.authorization.k8s.io.%%%", "x"],
            ),
            ("websocket", vec!["x"]),
            ("h2c", vec![one, "x"]),
        ] {
            assert_eq!(taken(upgrade, &protocols).0, None, "{upgrade} {protocols:?}");
        }
    }
}
