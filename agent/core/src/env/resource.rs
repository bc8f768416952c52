//! `resourceFieldRef`: the container's requests and limits.

use k8s_openapi::api::core::v1::{Container, ResourceFieldSelector};

use super::{EnvError, Sources};
use crate::policy::containers;
use crate::quantity::nano;

const NANO: i128 = 1_000_000_000;

/// The resource that `selector` names, divided by its divisor and rounded up. A limit that is not set
/// is what the node offers.
///
/// # Errors
///
/// [`EnvError::Resource`] where no such resource may be named.
pub fn resource_value(
    selector: &ResourceFieldSelector,
    container: &Container,
    sources: &Sources<'_>,
) -> Result<String, EnvError> {
    let unknown = || EnvError::Resource(selector.resource.clone());
    let (list, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let named = selector.container_name.as_deref();
    let other = sources.pod.spec.as_ref().and_then(|spec| {
        containers(spec)
            .map(|(_, c)| c)
            .find(|c| Some(c.name.as_str()) == named)
    });
    let resources = other.unwrap_or(container).resources.as_ref();
    let given = match list {
        "limits" => resources.and_then(|r| r.limits.as_ref()),
        "requests" => resources.and_then(|r| r.requests.as_ref()),
        _ => return Err(unknown()),
    };
    let set = given.and_then(|given| given.get(name)).and_then(nano);
    let offered = || {
        sources
            .allocatable
            .get(name)
            .map(|units| i128::from(*units) * unit(name))
    };
    let value = set
        .or_else(|| if list == "limits" { offered() } else { Some(0) })
        .ok_or_else(unknown)?;
    let divisor = selector
        .divisor
        .as_ref()
        .and_then(nano)
        .filter(|d| *d > 0)
        .unwrap_or(NANO);
    let rounded = (value + divisor - 1).div_euclid(divisor);
    Ok(rounded.to_string())
}

/// Billionths in one unit of an offer: cpus are offered in thousandths.
fn unit(name: &str) -> i128 {
    if name == "cpu" { NANO / 1000 } else { NANO }
}
