//! What is wrong with requests and certificates, in the words of Go's `crypto/x509` as far as they can be had.

use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::der_parser::oid;

use x509_parser::error::X509Error;
use x509_parser::nom;
use x509_parser::nom::error::ErrorKind;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::field::quote;
use crate::validate::pem;

const SHA1_WITH_RSA: Oid<'_> = oid!(1.2.840.113549.1.1.5);
const SHA1_WITH_ECDSA: Oid<'_> = oid!(1.2.840.10045.4.1);
/// Bits of the smallest RSA key that can be verified with.
const MIN_RSA: usize = 2048;

/// Why `pem` is no request for a certificate, signed by the key that it is for.
pub(super) fn request_fault(pem: &[u8]) -> Option<String> {
    let first = pem::blocks(pem).into_iter().next();
    let Some(block) = first.filter(|block| block.kind == "CERTIFICATE REQUEST") else {
        return Some("PEM block type must be CERTIFICATE REQUEST".to_owned());
    };
    match X509CertificationRequest::from_der(&block.bytes) {
        Ok(([], request)) => signature_fault(&request),
        Ok(_) => Some("asn1: syntax error: trailing data".to_owned()),
        Err(error) => Some(structure_fault(&error)),
    }
}

fn structure_fault(error: &nom::Err<X509Error>) -> String {
    match error {
        nom::Err::Incomplete(_) | nom::Err::Error(X509Error::NomError(ErrorKind::Eof)) => {
            "asn1: syntax error: data truncated".to_owned()
        }
        nom::Err::Error(error) | nom::Err::Failure(error) => format!("asn1: structure error: {error}"),
    }
}

/// Why the signature is not that of the request's own key. What nobody here can verify, such as keys on P-521 and
/// short ones of RSA, is let through: whoever approves the request looks at it again.
fn signature_fault(request: &X509CertificationRequest<'_>) -> Option<String> {
    let insecure = |name: &str| {
        Some(format!(
            "x509: cannot verify signature: insecure algorithm {name}"
        ))
    };
    let algorithm = &request.signature_algorithm.algorithm;
    if *algorithm == SHA1_WITH_RSA {
        return insecure("SHA1-RSA");
    }
    if *algorithm == SHA1_WITH_ECDSA {
        return insecure("ECDSA-SHA1");
    }
    match request.verify_signature() {
        Err(X509Error::SignatureVerificationError) => {
            mismatch(&request.certification_request_info.subject_pki)
        }
        _ => None,
    }
}

fn mismatch(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < MIN_RSA => None,
        Ok(PublicKey::RSA(_)) => Some("crypto/rsa: verification error".to_owned()),
        Ok(PublicKey::EC(_)) => Some("x509: ECDSA verification failure".to_owned()),
        _ => Some("x509: Ed25519 verification failure".to_owned()),
    }
}

/// Why `pem` is not one or more certificates and nothing else.
pub(super) fn certificates_fault(pem: &[u8]) -> Option<String> {
    let blocks = pem::blocks(pem);
    if blocks.is_empty() {
        return Some("must contain at least one CERTIFICATE PEM block".to_owned());
    }
    blocks.iter().find_map(|block| {
        if block.kind != "CERTIFICATE" {
            let kind = quote(&block.kind);
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {kind}"));
        }
        if block.has_headers {
            return Some("no PEM block headers are permitted".to_owned());
        }
        certificate_fault(&block.bytes)
    })
}

/// Why there are no whole certificates in the bytes of one block.
fn certificate_fault(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        match X509Certificate::from_der(rest) {
            Ok((after, _)) => rest = after,
            Err(_) => return Some("x509: malformed certificate".to_owned()),
        }
    }
    None
}
