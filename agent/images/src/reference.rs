//! Image references and their one normal form.

use std::fmt;

/// Which rule a reference breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// The repository is not made of lower-case letters, digits and separators.
    #[error("the repository {0:?} must be lower-case letters, digits and separators (. _ - /)")]
    Repository(String),
    /// The registry is not a host with an optional port.
    #[error("the registry {0:?} is no host name with an optional port")]
    Registry(String),
    /// The tag breaks its rule.
    #[error("the tag {0:?} must be 1 to 128 of letters, digits, _ . - and not begin with . or -")]
    Tag(String),
    /// The digest breaks its rule.
    #[error("the digest {0:?} must be sha256: and 64 hexadecimal digits")]
    Digest(String),
}

/// A reference in its normal form: registry, repository, and a tag or a digest or both.
///
/// `nginx` is `docker.io/library/nginx:latest`, as every container runtime reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// Reads `raw` as container runtimes do.
    ///
    /// # Errors
    ///
    /// Names the first rule that `raw` breaks.
    pub fn parse(raw: &str) -> Result<Self, ReferenceError> {
        if raw.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (name, digest) = match raw.split_once('@') {
            Some((name, digest)) => (name, Some(check_digest(digest)?)),
            None => (raw, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            // A colon before a slash is a registry's port.
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(check_tag(tag)?)),
            _ => (name, None),
        };
        let (registry, repository) = split_registry(name);
        check_registry(&registry)?;
        check_repository(&repository)?;
        let tag = if tag.is_none() && digest.is_none() {
            Some("latest".to_owned())
        } else {
            tag
        };
        Ok(Self {
            registry,
            repository,
            tag,
            digest,
        })
    }

    /// Registry and repository, without tag and digest: `docker.io/library/nginx`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The registry: `docker.io`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in it: `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if it has one (it has where no digest was given).
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest (`sha256:…`), if it has one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The first segment is a registry when it looks like a host: a dot, a port, or `localhost`.
fn split_registry(name: &str) -> (String, String) {
    let host =
        |s: &str| s.contains('.') || s.contains(':') || s == "localhost" || s.chars().any(char::is_uppercase);
    match name.split_once('/') {
        Some(("index.docker.io", rest)) => docker_hub(rest),
        Some(("docker.io", rest)) => docker_hub(rest),
        Some((first, rest)) if host(first) => (first.to_owned(), rest.to_owned()),
        _ => docker_hub(name),
    }
}

fn docker_hub(repository: &str) -> (String, String) {
    let full = if repository.contains('/') {
        repository.to_owned()
    } else {
        format!("library/{repository}")
    };
    ("docker.io".to_owned(), full)
}

pub(crate) fn check_registry(registry: &str) -> Result<(), ReferenceError> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let host_ok = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-[]:".contains(&b));
    let port_ok = port.is_none_or(|p| p.parse::<u16>().is_ok());
    if host_ok && port_ok {
        Ok(())
    } else {
        Err(ReferenceError::Registry(registry.to_owned()))
    }
}

fn check_repository(repository: &str) -> Result<(), ReferenceError> {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment_ok = |s: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(|b| alnum(*b));
        edge(s.as_bytes().first())
            && edge(s.as_bytes().last())
            && s.bytes().all(|b| alnum(b) || b"._-".contains(&b))
            && !s.contains("..")
            && !s.contains("___")
    };
    let fits = !repository.is_empty() && repository.len() <= 255;
    if fits && repository.split('/').all(segment_ok) {
        Ok(())
    } else {
        Err(ReferenceError::Repository(repository.to_owned()))
    }
}

fn check_tag(tag: &str) -> Result<String, ReferenceError> {
    let body = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let ok = (1..=128).contains(&tag.len()) && tag.bytes().all(body) && !tag.starts_with(['.', '-']);
    if ok {
        Ok(tag.to_owned())
    } else {
        Err(ReferenceError::Tag(tag.to_owned()))
    }
}

fn check_digest(digest: &str) -> Result<String, ReferenceError> {
    let hex = |h: &str| {
        h.len() == 64
            && h.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    match digest.strip_prefix("sha256:") {
        Some(h) if hex(h) => Ok(digest.to_owned()),
        _ => Err(ReferenceError::Digest(digest.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(raw: &str) -> String {
        Reference::parse(raw).unwrap().to_string()
    }

    #[test]
    fn short_names_are_docker_hub_library_latest() {
        assert_eq!(normal("nginx"), "docker.io/library/nginx:latest");
        assert_eq!(normal("nginx:1.27"), "docker.io/library/nginx:1.27");
        assert_eq!(normal("docker.io/nginx"), "docker.io/library/nginx:latest");
        assert_eq!(
            normal("index.docker.io/library/nginx"),
            "docker.io/library/nginx:latest"
        );
        assert_eq!(normal("bitnami/redis"), "docker.io/bitnami/redis:latest");
    }

    #[test]
    fn a_first_segment_that_looks_like_a_host_is_the_registry() {
        assert_eq!(normal("localhost/demo"), "localhost/demo:latest");
        assert_eq!(normal("localhost:5000/demo:v1"), "localhost:5000/demo:v1");
        assert_eq!(
            normal("registry.k8s.io/e2e-test-images/agnhost:2.40"),
            "registry.k8s.io/e2e-test-images/agnhost:2.40"
        );
    }

    #[test]
    fn a_digest_replaces_the_default_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            normal(&format!("nginx@{digest}")),
            format!("docker.io/library/nginx@{digest}")
        );
        assert_eq!(
            normal(&format!("nginx:1@{digest}")),
            format!("docker.io/library/nginx:1@{digest}")
        );
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        assert_eq!(Reference::parse(""), Err(ReferenceError::Empty));
        assert_eq!(
            Reference::parse("nginx:"),
            Err(ReferenceError::Tag(String::new()))
        );
        assert!(matches!(
            Reference::parse("ngi nx"),
            Err(ReferenceError::Repository(_))
        ));
        assert!(matches!(
            Reference::parse("NGINX"),
            Err(ReferenceError::Repository(_))
        ));
        assert!(matches!(
            Reference::parse("a.b:x/c"),
            Err(ReferenceError::Registry(_))
        ));
        assert!(matches!(
            Reference::parse("nginx@sha256:12"),
            Err(ReferenceError::Digest(_))
        ));
        assert!(matches!(
            Reference::parse("../../etc/passwd"),
            Err(ReferenceError::Registry(_) | ReferenceError::Repository(_))
        ));
    }

    #[test]
    fn the_normal_form_is_its_own_normal_form() {
        for raw in [
            "nginx",
            "a/b/c:d",
            "localhost:1/x",
            "r.io/y@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            let once = normal(raw);
            assert_eq!(normal(&once), once);
        }
    }
}
