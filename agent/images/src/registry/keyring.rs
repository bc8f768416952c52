//! Which credentials are for which image, by the kubelet's rules.
//!
//! Kubernetes documentation, "Images", "Interpretation of config.json": keys are hosts with an optional port and path;
//! every part of the host between dots may be a pattern, the path is a prefix. The longest key is tried first.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::credential::{Credential, Kind};
use super::pattern;

/// Docker Hub's name in Docker's configurations.
const DOCKER_HUB: &str = "index.docker.io";

/// `docker login` writes padding, people who write the file by hand often do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a Docker configuration cannot be used. Says nothing of what it holds.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// It is no JSON of the wanted form.
    #[error("it is not the JSON that `docker login` writes (line {line}, column {column})")]
    NotJson {
        /// Line of the first character that does not fit.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// The field `auth` of an entry is not what it must be.
    #[error("the auth field for {registry:?} must be base64 of USER:PASSWORD")]
    Auth {
        /// Key of the entry.
        registry: String,
    },
}

/// Credentials by the images they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keyring {
    by_key: BTreeMap<String, Vec<Credential>>,
}

/// `.dockerconfigjson`, which is also Docker's `config.json`.
#[derive(Deserialize)]
struct ConfigJson {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

impl Keyring {
    /// Adds what a Secret of type `kubernetes.io/dockerconfigjson` holds in `.dockerconfigjson`.
    ///
    /// # Errors
    ///
    /// When it is not of that form; nothing of it is added then.
    pub fn add_config_json(&mut self, text: &[u8]) -> Result<(), KeyringError> {
        let config: ConfigJson = parse(text)?;
        self.add(config.auths)
    }

    /// Adds what a Secret of type `kubernetes.io/dockercfg` holds in `.dockercfg`.
    ///
    /// # Errors
    ///
    /// When it is not of that form; nothing of it is added then.
    pub fn add_config(&mut self, text: &[u8]) -> Result<(), KeyringError> {
        self.add(parse(text)?)
    }

    fn add(&mut self, entries: BTreeMap<String, Entry>) -> Result<(), KeyringError> {
        let read: Vec<_> = entries
            .into_iter()
            .map(|(key, entry)| Ok((normal_key(&key), credential(&key, entry)?)))
            .collect::<Result<_, KeyringError>>()?;
        for (key, credential) in read {
            let known = self.by_key.entry(key).or_default();
            known.extend(credential.filter(|c| !known.contains(c)));
        }
        Ok(())
    }

    /// What to try for `image` (registry and repository, such as `docker.io/library/nginx`), in this order.
    #[must_use]
    pub fn lookup(&self, image: &str) -> Vec<Credential> {
        let matching = |(key, _): &(&String, &Vec<Credential>)| matches(key, image);
        // Backwards, so that the key with the longer path comes first.
        let found = self.by_key.iter().rev().filter(matching);
        let found: Vec<Credential> = found.flat_map(|(_, all)| all.clone()).collect();
        if found.is_empty() && image.starts_with("docker.io/") {
            return self.by_key.get(DOCKER_HUB).cloned().unwrap_or_default();
        }
        found
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, KeyringError> {
    // Without serde's own words: they may quote a password.
    serde_json::from_slice(text).map_err(|error| KeyringError::NotJson {
        line: error.line(),
        column: error.column(),
    })
}

/// What an entry holds; `None` where that is nothing, as `docker login` with a helper writes it.
fn credential(key: &str, entry: Entry) -> Result<Option<Credential>, KeyringError> {
    let (mut user, mut password) = (entry.username, entry.password);
    if !entry.auth.is_empty() {
        (user, password) = decode(&entry.auth).ok_or_else(|| KeyringError::Auth {
            registry: key.to_owned(),
        })?;
    }
    let kind = if !entry.registrytoken.is_empty() {
        Kind::Token(entry.registrytoken)
    } else if !entry.identitytoken.is_empty() {
        Kind::Identity {
            user,
            token: entry.identitytoken,
        }
    } else if user.is_empty() && password.is_empty() {
        return Ok(None);
    } else {
        Kind::Password { user, password }
    };
    Ok(Some(Credential { kind }))
}

fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker once padded the text with zeros.
    Some((user.to_owned(), password.trim_matches('\0').to_owned()))
}

/// A key without scheme and API version, as the kubelet keeps it.
fn normal_key(key: &str) -> String {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let (host, path) = match bare.find('/') {
        Some(at) => bare.split_at(at),
        None => (bare, ""),
    };
    let versionless = ["/v1/", "/v2/"]
        .iter()
        .find(|version| path.starts_with(**version))
        .and_then(|_| path.get(3..))
        .unwrap_or(path);
    match versionless {
        "" | "/" => host.to_owned(),
        path => format!("{host}{path}"),
    }
}

/// Whether the credentials kept under `key` are for `image`.
fn matches(key: &str, image: &str) -> bool {
    fn parts(text: &str) -> (&str, &str) {
        text.find('/').map_or((text, ""), |at| text.split_at(at))
    }
    let ((key_host, key_path), (host, path)) = (parts(key), parts(image));
    let ((key_host, key_port), (host, port)) = (port(key_host), port(host));
    if key_port != port || !path.starts_with(key_path) {
        return false;
    }
    let (globs, names): (Vec<_>, Vec<_>) = (key_host.split('.').collect(), host.split('.').collect());
    globs.len() == names.len()
        && globs
            .iter()
            .zip(names)
            .all(|(glob, name)| pattern::matches(glob, name))
}

fn port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(json: &str) -> Keyring {
        let mut keyring = Keyring::default();
        keyring.add_config_json(json.as_bytes()).unwrap();
        keyring
    }

    fn users(keyring: &Keyring, image: &str) -> Vec<String> {
        let found = keyring.lookup(image);
        found
            .iter()
            .map(|c| c.user().unwrap_or_default().to_owned())
            .collect()
    }

    fn one(key: &str) -> Keyring {
        keyring(&format!(
            r#"{{"auths": {{"{key}": {{"username": "u", "password": "p"}}}}}}"#
        ))
    }

    #[test]
    fn keys_match_as_the_kubelet_matches_them() {
        // The table of the Kubernetes documentation, and of the kubelet's own tests.
        let rows = [
            ("gcr.io", "gcr.io/library/x", true),
            ("gcr.io/foo", "gcr.io/foo/x", true),
            ("gcr.io/foo", "gcr.io/bar/x", false),
            ("*.kubernetes.io", "abc.kubernetes.io/x", true),
            ("*.kubernetes.io", "kubernetes.io/x", false),
            ("*.*.kubernetes.io", "prefix.kubernetes.io/x", false),
            ("*.good.kubernetes.io", "prefix.good.kubernetes.io/x", true),
            ("prefix.*.io", "prefix.kubernetes.io/x", true),
            ("*kubernetes.io", "foo-kubernetes.io/x", true),
            ("a?c.io", "abc.io/x", true),
            ("a[0-9].io", "a7.io/x", true),
            ("a[0-9].io", "ab.io/x", false),
            ("registry:5000", "registry:5000/x", true),
            ("registry:5000", "registry:5001/x", false),
            ("registry", "registry:5000/x", false),
            ("https://registry:5000/v2/", "registry:5000/x", true),
            ("http://registry:5000/v1/team", "registry:5000/team/x", true),
            ("https://index.docker.io/v1/", "docker.io/library/nginx", true),
            ("docker.io", "docker.io/library/nginx", true),
            ("index.docker.io", "quay.io/library/nginx", false),
        ];
        for (key, image, expected) in rows {
            assert_eq!(!one(key).lookup(image).is_empty(), expected, "{key} {image}");
        }
    }

    #[test]
    fn the_longer_path_is_tried_first_and_every_match_is_tried() {
        let auth = |user: &str| format!(r#"{{"username": "{user}", "password": "p"}}"#);
        let json = format!(
            r#"{{"auths": {{"r.io": {}, "r.io/a/b": {}, "r.io/a": {}}}}}"#,
            auth("host"),
            auth("deep"),
            auth("middle")
        );
        let mut all = keyring(&json);
        assert_eq!(users(&all, "r.io/a/b/c"), ["deep", "middle", "host"]);
        assert_eq!(users(&all, "r.io/z"), ["host"]);
        all.add_config(br#"{"r.io": {"username": "second", "password": "p"}}"#)
            .unwrap();
        assert_eq!(users(&all, "r.io/z"), ["host", "second"]);
    }

    #[test]
    fn the_auth_field_wins_and_may_lack_its_padding() {
        for auth in ["dXNlcjpwYTpzcw==", "dXNlcjpwYTpzcw"] {
            let json = format!(r#"{{"auths": {{"r.io": {{"auth": "{auth}", "username": "other"}}}}}}"#);
            assert_eq!(
                keyring(&json).lookup("r.io/x"),
                [Credential::password("user", "pa:ss")]
            );
        }
    }

    #[test]
    fn an_entry_without_secrets_is_no_credential() {
        assert!(
            keyring(r#"{"auths": {"r.io": {}}, "credsStore": "desktop"}"#)
                .lookup("r.io/x")
                .is_empty()
        );
    }

    #[test]
    fn an_error_and_a_debug_text_hold_no_secret() {
        let mut ring = Keyring::default();
        let error = ring
            .add_config_json(br#"{"auths": {"r.io": {"password": hunter2}}}"#)
            .unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = ring
            .add_config_json(br#"{"auths": {"r.io": {"auth": "aHVudGVyMg=="}}}"#)
            .unwrap_err();
        assert!(error.to_string().contains("r.io"), "{error}");
        assert_eq!(ring, Keyring::default());
        ring.add_config(br#"{"r.io": {"username": "u", "password": "hunter2"}}"#)
            .unwrap();
        assert!(!format!("{ring:?}").contains("hunter2"));
    }

    proptest::proptest! {
        #[test]
        fn a_key_without_patterns_opens_nothing_on_another_host(
            host in "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}(:[1-9][0-9]{0,3})?",
            other in "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}(:[1-9][0-9]{0,3})?",
            path in "(/[a-z]{1,6}){0,3}",
        ) {
            let key = one(&format!("{host}{path}"));
            let open = !key.lookup(&format!("{other}{path}/x")).is_empty();
            proptest::prop_assert_eq!(open, host == other);
        }

        #[test]
        fn no_key_of_a_secret_stops_the_agent(key in "\\PC{0,60}", image in "[a-z.:/]{1,40}") {
            let key = serde_json::json!({key: {"username": "u", "password": "p"}});
            let mut keyring = Keyring::default();
            keyring.add_config(key.to_string().as_bytes()).unwrap();
            drop(keyring.lookup(&image));
        }
    }
}
