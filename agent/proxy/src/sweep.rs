//! Cleans up what the kernel remembers of connections that have lost their endpoint: without it a UDP
//! client, or one with affinity, would be sent to where nothing answers for as long as it tries.

use cni_plugins_nft::{Flows, NftError, Protocol, Ruleset};

use crate::engine::Engine;
use crate::family::Family;
use crate::structure::affinity_set;
use crate::target::{Changed, Target, stale_clients, stale_flows};

/// What is to be cleaned up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sweep {
    changed: Changed,
    families: Vec<Family>,
}

impl Sweep {
    /// What has to be cleaned up after `targets` have changed.
    pub fn after<R: Ruleset>(engine: &Engine<R>, targets: &std::collections::BTreeSet<Target>) -> Self {
        Self {
            changed: engine.reached(targets),
            families: engine.model().affine_families().into_iter().collect(),
        }
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() || (self.families.is_empty() && !self.has_udp())
    }

    fn has_udp(&self) -> bool {
        self.changed.keys().any(|target| target.protocol == Protocol::Udp)
    }
}

/// Cleans up, and tells how much there was. TCP needs none: its clients notice and connect anew.
///
/// # Errors
///
/// When the kernel does not list or does not forget.
pub fn sweep(sweep: &Sweep, rules: &mut impl Ruleset, flows: &mut impl Flows) -> Result<usize, NftError> {
    let mut count = 0;
    let local = flows.local()?;
    for family in &sweep.families {
        let (name, spec) = affinity_set(*family);
        let clients = rules.elements(&name, &spec)?;
        let stale: Vec<_> = stale_clients(&clients, &sweep.changed, &local).cloned().collect();
        rules.forget(&stale)?;
        count += stale.len();
    }
    if sweep.has_udp() {
        let known = flows.udp()?;
        for flow in stale_flows(&known, &sweep.changed, &local) {
            flows.forget(flow)?;
            count += 1;
        }
    }
    Ok(count)
}
