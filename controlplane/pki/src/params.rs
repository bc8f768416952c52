//! The parts of certificates that all of ours share.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType,
};

use crate::{Request, SigningPolicy, Usages};

/// How long a certificate is valid unless its request says otherwise: a year.
pub const LEAF_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long an authority is valid: ten years.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Certificates are valid from a little before they were made, for machines whose clocks are behind.
const BACKDATE: Duration = Duration::from_secs(300);

pub(crate) fn authority(common_name: &str, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    set_validity(&mut params, now, AUTHORITY_VALIDITY);
    params
}

pub(crate) fn leaf(request: &Request, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(request.dns_names.clone())?;
    params
        .subject_alt_names
        .extend(request.ip_addresses.iter().copied().map(SanType::IpAddress));
    params.distinguished_name = subject(&request.common_name, &request.organizations);
    restrict(
        &mut params,
        &SigningPolicy {
            usages: request.usages,
            validity: request.validity,
        },
        now,
    );
    Ok(params)
}

/// What a request asks for about itself, as opposed to what the authority decides.
pub(crate) fn request(request: &Request) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(request.dns_names.clone())?;
    params
        .subject_alt_names
        .extend(request.ip_addresses.iter().copied().map(SanType::IpAddress));
    params.distinguished_name = subject(&request.common_name, &request.organizations);
    Ok(params)
}

/// Sets everything that the authority decides; subject and names stay.
pub(crate) fn restrict(params: &mut CertificateParams, policy: &SigningPolicy, now: Timestamp) {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = match policy.usages {
        Usages::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usages::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usages::Both => vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ],
    };
    params.use_authority_key_identifier_extension = true;
    params.serial_number = None;
    params.custom_extensions.clear();
    set_validity(params, now, policy.validity);
}

fn subject(common_name: &str, organizations: &[String]) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    for organization in organizations {
        subject.push(DnType::OrganizationName, organization.as_str());
    }
    subject.push(DnType::CommonName, common_name);
    subject
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, validity: Duration) {
    let since_epoch = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch.saturating_sub(BACKDATE);
    params.not_after = epoch + since_epoch + validity;
}
