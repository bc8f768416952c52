//! Whether a certificate and a private key belong together, in the words of Go's `crypto/tls`.

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{Oid, Tag};
use x509_parser::der_parser::ber::BerObject;
use x509_parser::der_parser::{oid, parse_der};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::validate::pem;

const RSA: Oid<'_> = oid!(1.2.840.113549.1.1.1);
const EC: Oid<'_> = oid!(1.2.840.10045.2.1);
const ED25519: Oid<'_> = oid!(1.3.101.112);

/// What of a private key tells its public one.
enum Private {
    /// The modulus.
    Rsa(Vec<u8>),
    /// The point, where it is written beside the key.
    Ec(Option<Vec<u8>>),
    Ed25519,
}

/// Why a server cannot use this certificate with this key.
pub(super) fn fault(certificate: &[u8], key: &[u8]) -> Option<String> {
    if let Some(fault) = pem::certificate_fault(certificate).or_else(|| pem::key_fault(key)) {
        return Some(fault);
    }
    let first = |text: &[u8], end: &str| {
        let block = pem::blocks(text)
            .into_iter()
            .find(|block| block.kind.ends_with(end));
        block.map(|block| block.bytes).unwrap_or_default()
    };
    let leaf = first(certificate, "CERTIFICATE");
    let Ok((_, leaf)) = X509Certificate::from_der(&leaf) else {
        return Some("x509: malformed certificate".to_owned());
    };
    let Some(private) = private(&first(key, "PRIVATE KEY")) else {
        return Some("tls: failed to parse private key".to_owned());
    };
    let same = match (leaf.public_key().parsed(), private) {
        (Ok(PublicKey::RSA(public)), Private::Rsa(modulus)) => unsigned(public.modulus) == unsigned(&modulus),
        (Ok(PublicKey::EC(public)), Private::Ec(point)) => point.is_none_or(|point| point == public.data()),
        // Which point belongs to a key of Ed25519 is not worked out.
        (Ok(PublicKey::Unknown(_)), Private::Ed25519) => true,
        _ => return Some("tls: private key type does not match public key type".to_owned()),
    };
    (!same).then(|| "tls: private key does not match public key".to_owned())
}

/// A number's bytes without zeros before it.
fn unsigned(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// A key in the form of PKCS#8, PKCS#1 or SEC 1.
fn private(der: &[u8]) -> Option<Private> {
    let (_, object) = parse_der(der).ok()?;
    let parts = object.as_sequence().ok()?;
    let second = parts.get(1)?;
    match second.header.tag() {
        Tag::Integer => Some(Private::Rsa(second.as_slice().ok()?.to_vec())),
        Tag::OctetString => Some(Private::Ec(point(parts))),
        Tag::Sequence => wrapped(second, parts.get(2)?),
        _ => None,
    }
}

/// The key that PKCS#8 puts an algorithm before.
fn wrapped(algorithm: &BerObject<'_>, key: &BerObject<'_>) -> Option<Private> {
    let name = algorithm.as_sequence().ok()?.first()?.as_oid().ok()?;
    match name {
        name if *name == ED25519 => Some(Private::Ed25519),
        name if *name == RSA || *name == EC => private(key.as_slice().ok()?),
        _ => None,
    }
}

/// The public point of a key of SEC 1, which is its member 1.
fn point(parts: &[BerObject<'_>]) -> Option<Vec<u8>> {
    let own = parts.iter().skip(2).find(|part| part.header.tag() == Tag(1))?;
    let (_, bits) = parse_der(own.as_slice().ok()?).ok()?;
    Some(bits.as_slice().ok()?.to_vec())
}
