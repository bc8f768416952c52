//! The plugin.

use std::net::IpAddr;

use cni_plugins_spec::{Call, CniError, ErrorCode, IpConfig, Plugin, Success};
use ipnet::IpNet;

use crate::range::Range;
use crate::reservations::{Owner, Reservations};
use crate::settings::Settings;

/// `host-local`: gives a container one address of each range set.
///
/// ADD repeated for the same container and interface answers with the same addresses.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostLocal;

impl Plugin for HostLocal {
    fn add(&self, call: &Call) -> Result<Success, CniError> {
        let settings = Settings::read(call)?;
        let dns = settings.dns()?;
        let owner = owner(call);
        let mut reservations = lock(&settings)?;
        let had = reservations.of(&owner);
        let mut requested = settings.requested.clone();
        let mut ips = Vec::new();
        for (index, set) in settings.sets.iter().enumerate() {
            let given = match had.iter().find(|ip| range_of(set, **ip).is_some()) {
                Some(ip) => Ok(*ip),
                None => give(&mut reservations, &owner, index, set, &mut requested),
            };
            match given {
                Ok(ip) => ips.extend(configured(set, ip)),
                Err(error) => return Err(undo(&mut reservations, &owner, &had, error)),
            }
        }
        if let Some(ip) = requested.first() {
            let error = CniError::config(format!(
                "the requested address {ip} is in no range of this network"
            ));
            return Err(undo(&mut reservations, &owner, &had, error));
        }
        Ok(Success {
            interfaces: Vec::new(),
            ips,
            routes: settings.routes,
            dns,
        })
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        let owner = owner(call);
        lock(&Settings::read(call)?)?
            .release(|held| *held == owner)
            .map_err(|e| CniError::system(&e))
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let held = lock(&Settings::read(call)?)?.of(&owner(call));
        let wanted: Vec<IpAddr> = call
            .prev_result()?
            .map(|r| r.ips.iter().map(|ip| ip.address.addr()).collect())
            .unwrap_or_default();
        let lost = wanted
            .iter()
            .find(|ip| !held.contains(ip))
            .map(ToString::to_string);
        let lost = lost.or_else(|| held.is_empty().then(|| "any address".to_owned()));
        match lost {
            None => Ok(()),
            Some(what) => Err(CniError::new(
                ErrorCode::CHECK_FAILED,
                format!(
                    "container {} does not hold {what} any more",
                    call.environment.container_id
                ),
            )),
        }
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        let valid = call.net.valid_attachments.clone().unwrap_or_default();
        let unwanted = |held: &Owner| {
            !valid.iter().any(|v| {
                v.container_id == held.container_id && (held.ifname.is_empty() || v.ifname == held.ifname)
            })
        };
        lock(&Settings::read(call)?)?
            .release(unwanted)
            .map_err(|e| CniError::system(&e))
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        let settings = Settings::read(call)?;
        let reservations = lock(&settings)?;
        for set in &settings.sets {
            let free = set.iter().any(|r| {
                r.candidates(None)
                    .any(|ip| !reservations.held().contains_key(&ip))
            });
            if !free {
                return Err(CniError {
                    code: ErrorCode::LimitedConnectivity,
                    ..exhausted(set)
                });
            }
        }
        Ok(())
    }
}

fn owner(call: &Call) -> Owner {
    Owner {
        container_id: call.environment.container_id.clone(),
        ifname: call.environment.ifname.clone(),
    }
}

fn lock(settings: &Settings) -> Result<Reservations, CniError> {
    Reservations::lock(&settings.folder).map_err(|e| CniError::system(&e))
}

/// Reserves the requested address where there is one for this set, else the next free one.
fn give(
    reservations: &mut Reservations,
    owner: &Owner,
    index: usize,
    set: &[Range],
    requested: &mut Vec<IpAddr>,
) -> Result<IpAddr, CniError> {
    let wanted = requested
        .iter()
        .position(|ip| range_of(set, *ip).is_some())
        .map(|at| requested.remove(at));
    let ip = match wanted {
        Some(ip) if reservations.held().contains_key(&ip) || set.iter().any(|r| r.gateway() == ip) => {
            return Err(CniError::new(
                ErrorCode::EXHAUSTED,
                format!("the requested address {ip} is taken"),
            ));
        }
        Some(ip) => ip,
        None => next_free(reservations, index, set).ok_or_else(|| exhausted(set))?,
    };
    reservations
        .reserve(ip, owner, index)
        .map_err(|e| CniError::system(&e))?;
    Ok(ip)
}

fn next_free(reservations: &Reservations, index: usize, set: &[Range]) -> Option<IpAddr> {
    let last = reservations.last(index);
    let begin = last
        .and_then(|ip| set.iter().position(|range| range.contains(ip)))
        .unwrap_or(0);
    // The range of the last one first, so that a freed address rests as long as possible.
    let turned = set.iter().skip(begin).chain(set.iter().take(begin));
    turned
        .flat_map(|range| range.candidates(last))
        .find(|ip| !reservations.held().contains_key(ip))
}

fn range_of(set: &[Range], ip: IpAddr) -> Option<&Range> {
    set.iter().find(|range| range.contains(ip))
}

fn configured(set: &[Range], ip: IpAddr) -> Option<IpConfig> {
    let range = range_of(set, ip)?;
    let address = IpNet::new(ip, range.subnet().prefix_len()).ok()?;
    Some(IpConfig {
        interface: None,
        address,
        gateway: Some(range.gateway()),
    })
}

/// Frees what this call reserved, not what the container had before.
fn undo(reservations: &mut Reservations, owner: &Owner, had: &[IpAddr], error: CniError) -> CniError {
    if had.is_empty()
        && let Err(e) = reservations.release(|held| held == owner)
    {
        return error.with_details(CniError::system(&e).msg);
    }
    error
}

fn exhausted(set: &[Range]) -> CniError {
    let subnets: Vec<String> = set.iter().map(|range| range.subnet().to_string()).collect();
    CniError::new(
        ErrorCode::EXHAUSTED,
        format!("no address is free in {}", subnets.join(", ")),
    )
    .with_details("delete pods of this node, or give it a larger range")
}

#[cfg(test)]
mod tests;
