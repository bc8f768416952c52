//! `registries.toml`: where images are asked for, and how.
//!
//! ```toml
//! [registry."docker.io"]
//! mirrors = ["https://mirror.example.com", "http://10.0.0.5:5000/hub"]   # asked in this order, then docker.io itself
//!
//! [registry."registry.lan:5000"]
//! plain_http = true                                      # or: ca_file = "/etc/ssl/lan.pem", insecure = true
//! credentials_file = "/run/secrets/registry.json"        # as `docker login` writes it; read at each pull
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;

use super::endpoint::{Endpoint, Security};
use crate::reference::{Reference, check_registry};

/// Stands for every registry that has no table of its own.
const ANY: &str = "*";
const DOCKER_HUB: &str = "docker.io";
/// Where Docker Hub's API is.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML of the documented form.
    #[error("understand {path}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What does not fit, and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value cannot be.
    #[error("understand {path}: registry.{registry:?}: {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The table.
        registry: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    registry: BTreeMap<String, Raw>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    mirrors: Vec<String>,
    mirrors_only: bool,
    plain_http: bool,
    insecure: bool,
    ca_file: Option<PathBuf>,
    credentials_file: Option<PathBuf>,
}

/// The settings of all registries, checked.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    registries: BTreeMap<String, Registry>,
}

#[derive(Debug, Clone, Default)]
struct Registry {
    mirrors: Vec<Url>,
    mirrors_only: bool,
    /// `None` where the table says nothing of it.
    security: Option<Security>,
    credentials_file: Option<PathBuf>,
}

impl Settings {
    /// Reads `path`; where there is no such file, every registry is asked itself, over TLS.
    ///
    /// # Errors
    ///
    /// When the file is unreadable or not of the documented form.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(SettingsError::Unreadable {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads `text`, which `path` holds.
    ///
    /// # Errors
    ///
    /// Names the key that is not as documented.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let raw: RawFile = toml::from_str(text).map_err(|source| SettingsError::Syntax {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let mut registries = BTreeMap::new();
        for (name, raw) in raw.registry {
            let value_error = |problem| SettingsError::Value {
                path: path.to_owned(),
                registry: name.clone(),
                problem,
            };
            let registry = check(&name, raw).map_err(value_error)?;
            if registries.insert(own_name(&name).to_owned(), registry).is_some() {
                return Err(value_error("is there twice under other names".to_owned()));
            }
        }
        Ok(Self { registries })
    }

    /// Whom to ask for `image`, in this order.
    pub(crate) fn endpoints(&self, image: &Reference) -> Vec<Endpoint> {
        let name = image.registry();
        let table = self.registries.get(name).or_else(|| self.registries.get(ANY));
        let mut endpoints: Vec<Endpoint> = table
            .into_iter()
            .flat_map(|table| &table.mirrors)
            .filter_map(|url| self.mirror(url, image))
            .collect();
        if endpoints.is_empty() || !table.is_some_and(|table| table.mirrors_only) {
            endpoints.push(self.own(image));
        }
        endpoints
    }

    /// The registry that the image's name names.
    fn own(&self, image: &Reference) -> Endpoint {
        let name = image.registry();
        let table = self.registries.get(name);
        let host = if name == DOCKER_HUB { DOCKER_HUB_HOST } else { name };
        let default = || {
            if is_local(name) {
                Security::PlainHttp
            } else {
                Security::Verified { ca_file: None }
            }
        };
        Endpoint {
            host: host.to_owned(),
            repository: image.repository().to_owned(),
            security: table.and_then(|t| t.security.clone()).unwrap_or_else(default),
            namespace: None,
            credentials_file: table.and_then(|t| t.credentials_file.clone()),
        }
    }

    fn mirror(&self, url: &Url, image: &Reference) -> Option<Endpoint> {
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str()?),
            None => url.host_str()?.to_owned(),
        };
        let table = self.registries.get(&host);
        let security = match url.scheme() {
            "http" => Security::PlainHttp,
            _ => table
                .and_then(|t| t.security.clone())
                .filter(|s| *s != Security::PlainHttp)
                .unwrap_or(Security::Verified { ca_file: None }),
        };
        let repository = match url.path().trim_matches('/') {
            "" => image.repository().to_owned(),
            prefix => format!("{prefix}/{}", image.repository()),
        };
        Some(Endpoint {
            host,
            repository,
            security,
            namespace: Some(image.registry().to_owned()),
            credentials_file: table.and_then(|t| t.credentials_file.clone()),
        })
    }
}

fn check(name: &str, raw: Raw) -> Result<Registry, String> {
    if name != ANY {
        check_registry(name).map_err(|_| "must be a host such as \"r.example:5000\", or \"*\"".to_owned())?;
    }
    let says_how = raw.plain_http || raw.insecure || raw.ca_file.is_some();
    if name == ANY && (says_how || raw.credentials_file.is_some()) {
        return Err("may have mirrors alone; give each registry a table of its own".to_owned());
    }
    if raw.mirrors_only && raw.mirrors.is_empty() {
        return Err("mirrors_only needs mirrors".to_owned());
    }
    for path in [&raw.ca_file, &raw.credentials_file].into_iter().flatten() {
        if !path.is_absolute() {
            return Err(format!("{} must be an absolute path", path.display()));
        }
    }
    let mirrors = raw
        .mirrors
        .iter()
        .map(|text| mirror_url(text))
        .collect::<Result<_, _>>()?;
    Ok(Registry {
        mirrors,
        mirrors_only: raw.mirrors_only,
        security: security(&raw)?,
        credentials_file: raw.credentials_file,
    })
}

fn security(raw: &Raw) -> Result<Option<Security>, String> {
    match (raw.plain_http, raw.insecure, &raw.ca_file) {
        (false, false, None) => Ok(None),
        (true, false, None) => Ok(Some(Security::PlainHttp)),
        (false, true, None) => Ok(Some(Security::Unverified)),
        (false, false, Some(file)) => Ok(Some(Security::Verified {
            ca_file: Some(file.clone()),
        })),
        _ => Err("only one of plain_http, insecure and ca_file may be there".to_owned()),
    }
}

fn mirror_url(text: &str) -> Result<Url, String> {
    let wrong = || format!("mirror {text:?} must be a URL such as \"https://mirror.example:5000/prefix\"");
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && plain {
        Ok(url)
    } else {
        Err(wrong())
    }
}

/// Docker Hub has several names; images have but one.
fn own_name(registry: &str) -> &str {
    match registry {
        "index.docker.io" | DOCKER_HUB_HOST => DOCKER_HUB,
        other => other,
    }
}

/// Whether `registry` is this very machine, where nobody can listen in.
fn is_local(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, _)) if !registry.ends_with(']') => host,
        _ => registry,
    };
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse(text, Path::new("r.toml")).unwrap()
    }

    fn error(text: &str) -> String {
        let error = Settings::parse(text, Path::new("r.toml")).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error} {}", cause.unwrap_or_default())
    }

    fn urls(settings: &Settings, image: &str) -> Vec<String> {
        let image = Reference::parse(image).unwrap();
        let all = settings.endpoints(&image);
        all.iter()
            .map(|e| e.url(&format!("manifests/{}", image.tag().unwrap_or_default())))
            .collect()
    }

    #[test]
    fn without_settings_a_registry_is_asked_itself_over_tls_and_this_machine_without() {
        let none = Settings::default();
        assert_eq!(
            urls(&none, "nginx"),
            ["https://registry-1.docker.io/v2/library/nginx/manifests/latest"]
        );
        assert_eq!(urls(&none, "r.io/a/b:1"), ["https://r.io/v2/a/b/manifests/1"]);
        for local in ["localhost:5000", "127.0.0.1:5000", "localhost"] {
            assert_eq!(
                urls(&none, &format!("{local}/a:1")),
                [format!("http://{local}/v2/a/manifests/1")]
            );
        }
        assert_eq!(
            urls(&none, "localhost.evil.com/a:1"),
            ["https://localhost.evil.com/v2/a/manifests/1"]
        );
    }

    #[test]
    fn mirrors_are_asked_in_order_and_told_whose_image_it_is() {
        let text = r#"
            [registry."index.docker.io"]
            mirrors = ["http://10.0.0.5:5000", "https://m.io/hub/"]
        "#;
        assert_eq!(
            urls(&settings(text), "nginx:1"),
            [
                "http://10.0.0.5:5000/v2/library/nginx/manifests/1?ns=docker.io",
                "https://m.io/v2/hub/library/nginx/manifests/1?ns=docker.io",
                "https://registry-1.docker.io/v2/library/nginx/manifests/1",
            ]
        );
        let only = settings(&format!("{text}\nmirrors_only = true"));
        assert_eq!(urls(&only, "nginx:1").len(), 2);
    }

    #[test]
    fn the_star_is_for_registries_without_a_table() {
        let all = settings(
            "[registry.\"*\"]\nmirrors = [\"https://m.io\"]\n[registry.\"r.io\"]\nplain_http = true\n",
        );
        assert_eq!(urls(&all, "quay.io/a:1").len(), 2);
        assert_eq!(urls(&all, "r.io/a:1"), ["http://r.io/v2/a/manifests/1"]);
    }

    #[test]
    fn a_mirror_has_the_security_and_credentials_of_its_own_table() {
        let all = settings(
            r#"
            [registry."docker.io"]
            mirrors = ["https://m.io:5000"]
            credentials_file = "/hub.json"
            [registry."m.io:5000"]
            ca_file = "/m.pem"
            credentials_file = "/m.json"
            "#,
        );
        let endpoints = all.endpoints(&Reference::parse("nginx").unwrap());
        assert_eq!(
            endpoints[0].security,
            Security::Verified {
                ca_file: Some("/m.pem".into())
            }
        );
        assert_eq!(endpoints[0].credentials_file, Some("/m.json".into()));
        assert_eq!(endpoints[1].credentials_file, Some("/hub.json".into()));
    }

    #[test]
    fn what_is_not_documented_is_refused_by_name() {
        assert!(error("[registry.\"r.io\"]\nmirors = []").contains("mirors"));
        assert!(error("[registries]").contains("registries"));
        assert!(
            error("[registry.\"r.io\"]\nplain_http = true\ninsecure = true")
                .contains("only one of plain_http")
        );
        assert!(error("[registry.\"https://r.io\"]").contains("must be a host"));
        assert!(error("[registry.\"r.io\"]\nmirrors = [\"m.io\"]").contains("https://mirror.example"));
        assert!(error("[registry.\"r.io\"]\nmirrors = [\"https://u:p@m.io\"]").contains("must be a URL"));
        assert!(error("[registry.\"r.io\"]\nca_file = \"ca.pem\"").contains("absolute"));
        assert!(error("[registry.\"*\"]\ninsecure = true").contains("mirrors alone"));
        assert!(error("[registry.\"r.io\"]\nmirrors_only = true").contains("needs mirrors"));
        assert!(error("[registry.\"docker.io\"]\n[registry.\"index.docker.io\"]").contains("twice"));
    }
}
