//! What a registry wants to be shown (RFC 9110, §11.6.1; Docker Registry v2 authentication).

use http::HeaderMap;
use http_auth::parser::ChallengeParser;

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token of the service at `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
    /// Name and password.
    Basic,
}

impl Challenge {
    /// The best way that an answer offers and we know: a token rather than the password itself.
    pub(crate) fn best(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(http::header::WWW_AUTHENTICATE).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let offered: Vec<Self> = texts
            .flat_map(|text| ChallengeParser::new(text).map_while(Result::ok))
            .filter_map(|challenge| Self::of(&challenge))
            .collect();
        let bearer = offered
            .iter()
            .find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or(offered.first()).cloned()
    }

    fn of(challenge: &http_auth::ChallengeRef<'_>) -> Option<Self> {
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !challenge.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            let mut params = challenge.params.iter();
            params
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_unescaped())
        };
        Some(Self::Bearer {
            realm: value("realm")?,
            service: value("service"),
            scope: value("scope"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("www-authenticate", value.parse().unwrap());
        }
        Challenge::best(&headers)
    }

    #[test]
    fn a_token_is_preferred_wherever_it_is_offered() {
        let bearer = r#"Bearer realm="https://auth.io/token?a=b",service="r.io",scope="repository:x:pull""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.io/token?a=b".to_owned(),
            service: Some("r.io".to_owned()),
            scope: Some("repository:x:pull".to_owned()),
        };
        assert_eq!(best(&[bearer]), Some(expected.clone()));
        assert_eq!(best(&[r#"Basic realm="r""#, bearer]), Some(expected.clone()));
        assert_eq!(best(&[&format!(r#"Basic realm="r", {bearer}"#)]), Some(expected));
    }

    #[test]
    fn basic_is_known_and_others_are_not() {
        assert_eq!(best(&[r#"basic realm="r""#]), Some(Challenge::Basic));
        assert_eq!(best(&["Negotiate"]), None);
        assert_eq!(best(&[r#"Bearer service="no realm""#]), None);
        assert_eq!(best(&[]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_header_of_a_registry_stops_the_agent(text in "[ -~]{0,200}") {
            best(&[&text]);
            best(&[&format!("Bearer {text}"), &format!("Basic realm=\"{text}")]);
        }
    }
}
