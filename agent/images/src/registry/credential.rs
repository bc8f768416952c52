//! What a registry is shown to be let in.

use std::fmt;

/// A user's name and password, or a token of an identity service. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credential {
    pub(crate) kind: Kind,
}

/// The forms that a Docker configuration knows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// By Basic authentication, or for a token at the registry's token service.
    Password { user: String, password: String },
    /// A refresh token (`identitytoken`), exchanged at the registry's token service.
    Identity { user: String, token: String },
    /// A token for the registry itself (`registrytoken`).
    Token(String),
}

impl Credential {
    /// A user's name and password.
    #[must_use]
    pub fn password(user: &str, password: &str) -> Self {
        Self {
            kind: Kind::Password {
                user: user.to_owned(),
                password: password.to_owned(),
            },
        }
    }

    /// What tells it from others.
    pub(crate) fn parts(&self) -> [&str; 3] {
        match &self.kind {
            Kind::Password { user, password } => ["password", user, password],
            Kind::Identity { user, token } => ["identity", user, token],
            Kind::Token(token) => ["token", "", token],
        }
    }

    /// Whose it is, where it tells: for messages.
    pub(crate) fn user(&self) -> Option<&str> {
        match &self.kind {
            Kind::Password { user, .. } | Kind::Identity { user, .. } => {
                Some(user.as_str()).filter(|user| !user.is_empty())
            }
            Kind::Token(_) => None,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.kind {
            Kind::Password { .. } => "password",
            Kind::Identity { .. } => "identity token",
            Kind::Token(_) => "registry token",
        };
        write!(
            f,
            "Credential({form} of {:?}, ***)",
            self.user().unwrap_or_default()
        )
    }
}
