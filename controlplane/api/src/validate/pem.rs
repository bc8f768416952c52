//! Blocks of PEM (RFC 7468), found as Go's `encoding/pem` finds them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A block: its type, whether lines with headers are in it, and its bytes.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: String,
    pub(super) has_headers: bool,
    pub(super) bytes: Vec<u8>,
}

/// Why there is no certificate in `text`, in the words of Go's `crypto/tls`.
pub(super) fn certificate_fault(text: &[u8]) -> Option<String> {
    let types = types(text);
    if types.iter().any(|kind| kind == "CERTIFICATE") {
        return None;
    }
    Some(match types.as_slice() {
        [] => "tls: failed to find any PEM data in certificate input".to_owned(),
        [key] if key.ends_with("PRIVATE KEY") => {
            "tls: failed to find certificate PEM data in certificate input, but did \
             find a private key; PEM inputs may have been switched"
                .to_owned()
        }
        others => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the \
             following types: [{}]",
            others.join(" ")
        ),
    })
}

/// Why there is no key in `text`, in the words of Go's `crypto/tls`.
pub(super) fn key_fault(text: &[u8]) -> Option<String> {
    let types = types(text);
    let is_key = |kind: &String| kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY");
    if types.iter().any(is_key) {
        return None;
    }
    Some(match types.as_slice() {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [only] if only == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        others => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks \
             of the following types: [{}]",
            others.join(" ")
        ),
    })
}

/// The types of the blocks in `text`.
fn types(text: &[u8]) -> Vec<String> {
    blocks(text).into_iter().map(|block| block.kind).collect()
}

/// The blocks in `text`; what has no end or is no base64 is passed over, as is what stands between them.
pub(super) fn blocks(text: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(text);
    let mut found = Vec::new();
    let mut open: Option<(&str, Vec<&str>)> = None;
    for line in text.lines().map(str::trim_end) {
        let marked = |mark: &str| {
            line.strip_prefix(mark)
                .and_then(|rest| rest.strip_suffix("-----"))
        };
        if let Some(kind) = marked("-----BEGIN ") {
            open = Some((kind, Vec::new()));
        } else if let Some(kind) = marked("-----END ") {
            found.extend(open.take().filter(|(begun, _)| *begun == kind).and_then(block));
        } else if let Some((_, lines)) = &mut open {
            lines.push(line);
        }
    }
    found
}

fn block((kind, lines): (&str, Vec<&str>)) -> Option<Block> {
    let (headers, body): (Vec<&str>, Vec<&str>) = lines.into_iter().partition(|line| line.contains(':'));
    let body: String = body.concat().split_whitespace().collect();
    Some(Block {
        kind: kind.to_owned(),
        has_headers: !headers.is_empty(),
        bytes: STANDARD.decode(body).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n";
    const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    const OTHER: &[u8] = b"-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----\n";

    #[test]
    fn what_is_no_certificate_and_no_key_is_told_in_gos_words() {
        let both = [CERTIFICATE, KEY].concat();
        assert_eq!((certificate_fault(&both), key_fault(&both)), (None, None));
        assert_eq!(
            certificate_fault(b"x").as_deref(),
            Some("tls: failed to find any PEM data in certificate input")
        );
        assert!(
            certificate_fault(KEY).is_some_and(|text| text.ends_with("PEM inputs may have been switched"))
        );
        assert!(certificate_fault(OTHER).is_some_and(|text| text.ends_with("following types: [X509 CRL]")));
        assert_eq!(
            key_fault(b"-----BEGIN PRIVATE KEY-----").as_deref(),
            Some("tls: failed to find any PEM data in key input")
        );
        assert!(key_fault(CERTIFICATE).is_some_and(|text| text.starts_with("tls: found a certificate")));
        assert!(key_fault(OTHER).is_some_and(|text| text.ends_with("following types: [X509 CRL]")));
    }
}
