//! Fitting endpoints into slices with as few writes as can be. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// What makes an endpoint the same endpoint in another state.
type Identity = (Vec<String>, Option<String>, Option<String>, Option<String>);

fn identity(endpoint: &Endpoint) -> Identity {
    let target = endpoint.target_ref.as_ref();
    (
        endpoint.addresses.clone(),
        endpoint.hostname.clone(),
        target.and_then(|target| target.namespace.clone()),
        target.and_then(|target| target.name.clone()),
    )
}

/// What becomes of the slices of one address type and one set of ports.
#[derive(Debug, Default)]
pub(super) struct Packing {
    /// Slices that stay, and the endpoints each will have.
    pub(super) kept: Vec<(Arc<EndpointSlice>, Vec<Endpoint>)>,
    /// Slices of which nothing is left.
    pub(super) emptied: Vec<Arc<EndpointSlice>>,
    /// Endpoints of slices that are to be made.
    pub(super) fresh: Vec<Vec<Endpoint>>,
}

/// A slice at work.
struct Bin {
    slice: Arc<EndpointSlice>,
    endpoints: Vec<Endpoint>,
    touched: bool,
}

/// Packs `desired` into `existing` and as many new slices as it takes, at most `capacity` in each.
///
/// As upstream, with minimal writes before tight packing: slices that change anyway are filled up,
/// the fullest first; what is left goes into one more slice that has room, or into new ones.
pub(super) fn pack(existing: &[Arc<EndpointSlice>], desired: Vec<Endpoint>, capacity: usize) -> Packing {
    let mut left: BTreeMap<Identity, Endpoint> = desired
        .into_iter()
        .map(|endpoint| (identity(&endpoint), endpoint))
        .collect();
    let mut bins: Vec<Bin> = existing
        .iter()
        .map(|slice| keep(slice, &mut left, capacity))
        .collect();
    let mut packing = Packing::default();
    for bin in bins.extract_if(.., |bin| bin.touched && bin.endpoints.is_empty()) {
        packing.emptied.push(bin.slice);
    }
    fill_touched(&mut bins, &mut left, capacity);
    while !left.is_empty() {
        match best_fit(&mut bins, left.len(), capacity) {
            Some(bin) => {
                bin.touched = true;
                fill(&mut bin.endpoints, &mut left, capacity);
            }
            None => {
                let mut endpoints = Vec::new();
                fill(&mut endpoints, &mut left, capacity);
                packing.fresh.push(endpoints);
            }
        }
    }
    packing.kept = bins.into_iter().map(|bin| (bin.slice, bin.endpoints)).collect();
    packing
}

/// Takes out of `left` what `slice` has already, in its present state.
fn keep(slice: &Arc<EndpointSlice>, left: &mut BTreeMap<Identity, Endpoint>, capacity: usize) -> Bin {
    let before = slice.endpoints.as_deref().unwrap_or_default();
    let endpoints: Vec<Endpoint> = before
        .iter()
        .filter_map(|endpoint| left.remove(&identity(endpoint)))
        .take(capacity)
        .collect();
    Bin {
        touched: endpoints != before || endpoints.is_empty(),
        slice: slice.clone(),
        endpoints,
    }
}

fn fill_touched(bins: &mut [Bin], left: &mut BTreeMap<Identity, Endpoint>, capacity: usize) {
    let mut touched: Vec<&mut Bin> = bins.iter_mut().filter(|bin| bin.touched).collect();
    touched.sort_by_key(|bin| std::cmp::Reverse(bin.endpoints.len()));
    for bin in touched {
        fill(&mut bin.endpoints, left, capacity);
    }
}

/// The untouched slice that takes all `count` endpoints and is fullest then.
fn best_fit(bins: &mut [Bin], count: usize, capacity: usize) -> Option<&mut Bin> {
    bins.iter_mut()
        .filter(|bin| !bin.touched && bin.endpoints.len() + count <= capacity)
        .max_by_key(|bin| bin.endpoints.len())
}

fn fill(endpoints: &mut Vec<Endpoint>, left: &mut BTreeMap<Identity, Endpoint>, capacity: usize) {
    while endpoints.len() < capacity
        && let Some((_, endpoint)) = left.pop_first()
    {
        endpoints.push(endpoint);
    }
}

/// Whether two lists of endpoints hold the same ones.
#[cfg(test)]
pub(super) fn same(one: &[Endpoint], other: &[Endpoint]) -> bool {
    let set =
        |list: &[Endpoint]| -> std::collections::BTreeSet<Identity> { list.iter().map(identity).collect() };
    one.len() == other.len() && set(one) == set(other)
}
