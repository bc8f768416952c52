//! Bootstrap tokens.

use anyhow::Context;

/// A fresh token in Kubernetes' form, `[a-z0-9]{6}.[a-z0-9]{16}`.
pub(crate) fn generate() -> anyhow::Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0_u8; 22];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .context("draw a bootstrap token from the kernel's random numbers")?;
    let text: String = random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|&byte| char::from(byte))
        .collect();
    let (id, secret) = text.split_at(6);
    Ok(format!("{id}.{secret}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_token_has_the_form_that_kubernetes_fixes() {
        let token = generate().unwrap();
        let (id, secret) = token.split_once('.').unwrap();
        assert_eq!((id.len(), secret.len()), (6, 16));
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.')
        );
        assert_ne!(token, generate().unwrap());
    }
}
