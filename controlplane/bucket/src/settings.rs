use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

/// Where a bucket is and how it is reached, as a configuration file says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The bucket's name.
    pub bucket: String,
    /// What the names of all objects begin with.
    #[serde(default)]
    pub prefix: String,
    /// The region; servers other than Amazon's seldom ask for one.
    #[serde(default = "usual_region")]
    pub region: String,
    /// The server's URL; Amazon's in the region, where there is none.
    pub endpoint: Option<String>,
    /// Whether the bucket's name goes into the path rather than the host's name; true where there is an endpoint.
    pub path_style: Option<bool>,
    /// The file with the credentials; a name alone is one of systemd's credentials. The machine's role, where there is none.
    pub credentials_file: Option<PathBuf>,
    /// A certificate that the server's is signed by, besides those that the machine trusts.
    pub ca_file: Option<PathBuf>,
}

fn usual_region() -> String {
    "us-east-1".to_owned()
}

/// What a value breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value:?}: {rule}")]
pub struct SettingsError {
    /// The key.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// The rule.
    pub rule: &'static str,
}

impl Settings {
    /// The bucket called `bucket` on Amazon's servers, with everything else as it is by itself.
    #[must_use]
    pub fn of(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: String::new(),
            region: usual_region(),
            endpoint: None,
            path_style: None,
            credentials_file: None,
            ca_file: None,
        }
    }

    /// Checks what can be checked without the server.
    ///
    /// # Errors
    ///
    /// Names the key, its value and the rule.
    pub fn check(&self) -> Result<(), SettingsError> {
        let broken = |key, value: &str, rule| {
            Err(SettingsError {
                key,
                value: value.to_owned(),
                rule,
            })
        };
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(letters) {
            let rule = "must be the name of a bucket: 3 to 63 lower-case letters, digits, dots and dashes";
            return broken("bucket", &self.bucket, rule);
        }
        if self.prefix.starts_with('/') || self.prefix.contains("//") || self.prefix.len() > 512 {
            let rule =
                "must be at most 512 bytes, without a slash before it or two in a row, such as clusters/one/";
            return broken("prefix", &self.prefix, rule);
        }
        if self.region.is_empty() || self.region.chars().any(char::is_whitespace) {
            return broken("region", &self.region, "must be a region such as eu-central-1");
        }
        if let Some(endpoint) = &self.endpoint {
            let url = Url::parse(endpoint).ok();
            let plain = |url: &Url| {
                matches!(url.scheme(), "https" | "http")
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.query().is_none()
            };
            if !url.is_some_and(|url| plain(&url)) {
                let rule = "must be a URL such as https://s3.example.com, without credentials in it";
                return broken("endpoint", endpoint, rule);
            }
        }
        match &self.ca_file {
            Some(file) if !file.is_absolute() => {
                broken("ca_file", &file.display().to_string(), "must be an absolute path")
            }
            _ => Ok(()),
        }
    }

    /// Whether the bucket's name goes into the path.
    pub(crate) fn in_path(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_alone_is_enough_and_what_is_wrong_is_named() {
        let usual: Settings = toml::from_str("bucket = \"floe\"").unwrap();
        assert_eq!(usual, Settings::of("floe"));
        assert_eq!((usual.check(), usual.in_path()), (Ok(()), false));
        let own: Settings = toml::from_str("bucket = \"floe\"\nendpoint = \"https://s3.lan:9000\"").unwrap();
        assert_eq!((own.check(), own.in_path()), (Ok(()), true));
        for (text, words) in [
            (
                "bucket = \"My Bucket\"",
                "bucket = \"My Bucket\": must be the name of a bucket",
            ),
            (
                "bucket = \"floe\"\nprefix = \"/a\"",
                "prefix = \"/a\": must be at most",
            ),
            (
                "bucket = \"floe\"\nregion = \"\"",
                "region = \"\": must be a region",
            ),
            (
                "bucket = \"floe\"\nendpoint = \"s3.lan:9000\"",
                "endpoint = \"s3.lan:9000\": must be a URL",
            ),
            (
                "bucket = \"floe\"\nendpoint = \"https://me:secret@s3.lan\"",
                "without credentials in it",
            ),
            (
                "bucket = \"floe\"\nca_file = \"ca.pem\"",
                "ca_file = \"ca.pem\": must be an absolute path",
            ),
        ] {
            let refused = toml::from_str::<Settings>(text).unwrap().check().unwrap_err();
            assert!(refused.to_string().contains(words), "{refused}");
        }
        let unknown = toml::from_str::<Settings>("bucket = \"floe\"\nsecret_key = \"s\"").unwrap_err();
        assert!(
            unknown.to_string().contains("unknown field `secret_key`"),
            "{unknown}"
        );
    }
}
