use std::fmt;

use rand::RngExt;

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LEN: usize = 6;
const SECRET_LEN: usize = 16;

/// The token with which a node introduces itself: six public characters, a dot, sixteen secret ones, all of
/// `[a-z0-9]` (Kubernetes, "Authenticating with Bootstrap Tokens"). `Debug` prints the secret as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    id: String,
    secret: String,
}

/// A text that is no bootstrap token; it is not repeated, since it may be a secret all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bootstrap token must be of the form abcdef.0123456789abcdef, of lower-case letters and digits")]
pub struct TokenError;

impl BootstrapToken {
    /// Checks `raw` against the form above; white space around it, as at the end of a file, is ignored.
    ///
    /// # Errors
    ///
    /// Refuses every other form.
    pub fn parse(raw: &str) -> Result<Self, TokenError> {
        let (id, secret) = raw.trim().split_once('.').ok_or(TokenError)?;
        let fits = |text: &str, len| text.len() == len && text.bytes().all(|byte| ALPHABET.contains(&byte));
        if !fits(id, ID_LEN) || !fits(secret, SECRET_LEN) {
            return Err(TokenError);
        }
        Ok(Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// A new random token, of 82 bits of secret.
    #[must_use]
    pub fn generate() -> Self {
        Self {
            id: random(ID_LEN),
            secret: random(SECRET_LEN),
        }
    }

    /// The public part, by which the token is named.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret part.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The whole token, a secret.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// Whether `presented` is this token, in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, presented: &Self) -> bool {
        let pairs = self.secret.bytes().zip(presented.secret.bytes());
        let difference = pairs.fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        self.id == presented.id && difference == 0
    }
}

impl fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootstrapToken({}.***)", self.id)
    }
}

/// From the thread's generator, which is seeded by the kernel and cryptographically secure.
fn random(len: usize) -> String {
    let mut rng = rand::rng();
    let mut pick = || {
        ALPHABET
            .get(rng.random_range(0..ALPHABET.len()))
            .copied()
            .map(char::from)
    };
    (0..len).filter_map(|_| pick()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_token_parses_and_is_never_the_same() {
        let token = BootstrapToken::generate();
        assert_eq!(
            BootstrapToken::parse(&format!("{}\n", token.reveal())),
            Ok(token.clone())
        );
        assert!(token.matches(&token.clone()));
        assert!(!token.matches(&BootstrapToken::generate()));
    }

    #[test]
    fn other_forms_are_refused() {
        for raw in [
            "",
            "abcdef",
            "abcdef.",
            "abcde.0123456789abcdef",
            "abcdef.0123456789abcdeF",
            "a.b.c",
        ] {
            assert_eq!(BootstrapToken::parse(raw), Err(TokenError), "{raw}");
        }
    }

    #[test]
    fn debug_does_not_print_the_secret() {
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        assert_eq!(format!("{token:?}"), "BootstrapToken(abcdef.***)");
    }
}
