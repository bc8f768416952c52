//! SHA-256 as OCI writes it, and readers that hash and count what passes.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// `sha256:` and the hexadecimal digest of `bytes`.
pub(crate) fn of(bytes: &[u8]) -> String {
    text(&Sha256::digest(bytes))
}

/// The chain ID of a layer on top of `parent` (OCI image 1.1, "Layer ChainID").
pub(crate) fn chain(parent: Option<&str>, diff_id: &str) -> String {
    parent.map_or_else(
        || diff_id.to_owned(),
        |parent| of(format!("{parent} {diff_id}").as_bytes()),
    )
}

/// The hexadecimal digits behind `sha256:`, when `digest` has that form.
pub(crate) fn hex(digest: &str) -> Option<&str> {
    let valid = |h: &&str| {
        h.len() == 64
            && h.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    digest.strip_prefix("sha256:").filter(valid)
}

/// `sha256:` and the digits of a hash.
pub(crate) fn text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold("sha256:".to_owned(), |mut out, byte| {
        // Writing to a String cannot fail.
        write!(out, "{byte:02x}").unwrap_or_default();
        out
    })
}

/// Hashes and counts what is read through it.
pub(crate) struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            bytes: 0,
        }
    }

    /// Reads to the end, then tells the digest of everything and its length.
    pub(crate) fn finish(mut self) -> io::Result<(String, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((text(&self.hasher.finalize()), self.bytes))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if let Some(read) = buf.get(..n) {
            self.hasher.update(read);
        }
        self.bytes = self.bytes.saturating_add(n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_one_of_the_standard() {
        assert_eq!(
            of(b"abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hex(&of(b"abc")).map(str::len), Some(64));
        assert_eq!(hex("sha256:../../../etc"), None);
    }

    #[test]
    fn the_first_layers_chain_id_is_its_diff_id() {
        let (a, b) = (of(b"a"), of(b"b"));
        assert_eq!(chain(None, &a), a);
        assert_eq!(chain(Some(&a), &b), of(format!("{a} {b}").as_bytes()));
    }

    #[test]
    fn hashing_covers_what_nobody_read() {
        let mut reader = Hashing::new(&b"abcdef"[..]);
        let mut two = [0; 2];
        reader.read_exact(&mut two).unwrap();
        assert_eq!(reader.finish().unwrap(), (of(b"abcdef"), 6));
    }
}
