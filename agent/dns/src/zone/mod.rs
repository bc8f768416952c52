//! The cluster's zone: an index of Services and EndpointSlices, kept by their changes.
//!
//! Pure: objects come in through [`Zone::put_service`] and the like, answers out of
//! [`Zone::answer`]. Follows the Kubernetes DNS specification 1.1.0.

mod answer;
mod facts;
mod question;
mod records;
mod reverse;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hickory_proto::rr::Name;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use answer::{Answer, Verdict};
pub use facts::{EndpointFacts, Port, Reach, ServiceFacts, SliceFacts};
use question::ServiceName;

/// Seconds for which an answer may be kept, and the answer that there is none: `CoreDNS`'s default.
pub const TTL: u32 = 5;

/// What the zone is about.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The cluster's domain, absolute.
    pub domain: Name,
    /// The address of the name server itself.
    pub server: IpAddr,
    /// The ranges of addresses whose reverse names are the cluster's alone.
    pub ranges: Vec<IpNet>,
}

/// Everything the zone was made of, to be kept over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Names of the namespaces.
    pub namespaces: Vec<String>,
    /// The Services.
    pub services: Vec<ServiceFacts>,
    /// The EndpointSlices.
    pub slices: Vec<SliceFacts>,
}

/// A Service's name with what is known of it.
#[derive(Debug, Default)]
struct Entry {
    service: Option<ServiceFacts>,
    slices: BTreeMap<String, SliceFacts>,
}

#[derive(Debug, Default)]
struct Namespace {
    exists: bool,
    services: BTreeMap<String, Entry>,
}

/// The zone.
#[derive(Debug)]
pub struct Zone {
    scope: Scope,
    namespaces: BTreeMap<String, Namespace>,
    /// The Service of each slice: a slice's label may change, and its deletion tells its name alone.
    slice_owner: BTreeMap<(String, String), String>,
    /// Who has each cluster address.
    by_cluster_ip: BTreeMap<IpAddr, ServiceName>,
    /// Whose endpoints with a host name have each address.
    by_endpoint: BTreeMap<IpAddr, BTreeSet<ServiceName>>,
    serial: u32,
}

impl Zone {
    /// An empty zone whose SOA counts its changes from `serial` on.
    #[must_use]
    pub fn new(scope: Scope, serial: u32) -> Self {
        Self {
            scope,
            namespaces: BTreeMap::new(),
            slice_owner: BTreeMap::new(),
            by_cluster_ip: BTreeMap::new(),
            by_endpoint: BTreeMap::new(),
            serial,
        }
    }

    /// The SOA's serial number: it moves with every change.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Notes that the namespace `name` is there.
    pub fn put_namespace(&mut self, name: &str) {
        let namespace = self.namespaces.entry(name.to_ascii_lowercase()).or_default();
        if !namespace.exists {
            namespace.exists = true;
            self.touch();
        }
    }

    /// Notes that the namespace `name` is gone; what is in it goes by its own deletion.
    pub fn remove_namespace(&mut self, name: &str) {
        let key = name.to_ascii_lowercase();
        if let Some(namespace) = self.namespaces.get_mut(&key) {
            namespace.exists = false;
            if namespace.services.is_empty() {
                self.namespaces.remove(&key);
            }
            self.touch();
        }
    }

    /// Takes a Service in, or its new state.
    pub fn put_service(&mut self, service: ServiceFacts) {
        let name = service_name(&service.namespace, &service.name);
        let known = self.entry(&name).and_then(|entry| entry.service.as_ref());
        if known == Some(&service) {
            return;
        }
        self.forget_cluster_ips(&name);
        if let Reach::Addresses(addresses) = &service.reach {
            for address in addresses {
                self.by_cluster_ip.insert(*address, name.clone());
            }
        }
        self.entry_mut(&name).service = Some(service);
        self.touch();
    }

    /// Forgets a Service.
    pub fn remove_service(&mut self, namespace: &str, name: &str) {
        let name = service_name(namespace, name);
        if self.entry(&name).is_none() {
            return;
        }
        self.forget_cluster_ips(&name);
        self.entry_mut(&name).service = None;
        self.touch();
        self.tidy(&name);
    }

    /// Takes an `EndpointSlice` in, or its new state.
    pub fn put_slice(&mut self, slice: SliceFacts) {
        let name = service_name(&slice.namespace, &slice.service);
        let known = self.entry(&name).and_then(|entry| entry.slices.get(&slice.name));
        if known == Some(&slice) {
            return;
        }
        self.remove_slice(&slice.namespace, &slice.name);
        for endpoint in slice
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.hostname.is_some())
        {
            for address in &endpoint.addresses {
                self.by_endpoint.entry(*address).or_default().insert(name.clone());
            }
        }
        let owner = (slice.namespace.clone(), slice.name.clone());
        self.slice_owner.insert(owner, name.name.clone());
        self.entry_mut(&name).slices.insert(slice.name.clone(), slice);
        self.touch();
    }

    /// Forgets an `EndpointSlice`.
    pub fn remove_slice(&mut self, namespace: &str, slice: &str) {
        let owner = (namespace.to_owned(), slice.to_owned());
        let Some(service) = self.slice_owner.remove(&owner) else {
            return;
        };
        let name = service_name(namespace, &service);
        let Some(gone) = self.entry_mut(&name).slices.remove(slice) else {
            return;
        };
        for address in gone.endpoints.iter().flat_map(|endpoint| &endpoint.addresses) {
            self.forget_endpoint(*address, &name);
        }
        self.touch();
        self.tidy(&name);
    }

    /// Everything in the zone.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        for (name, namespace) in &self.namespaces {
            if namespace.exists {
                contents.namespaces.push(name.clone());
            }
            for entry in namespace.services.values() {
                contents.services.extend(entry.service.clone());
                contents.slices.extend(entry.slices.values().cloned());
            }
        }
        contents
    }

    /// Takes in everything of `contents`.
    pub fn load(&mut self, contents: Contents) {
        contents
            .namespaces
            .iter()
            .for_each(|name| self.put_namespace(name));
        for service in contents.services {
            self.put_service(service);
        }
        for slice in contents.slices {
            self.put_slice(slice);
        }
    }

    fn touch(&mut self) {
        self.serial = self.serial.wrapping_add(1);
    }

    fn entry(&self, name: &ServiceName) -> Option<&Entry> {
        self.namespaces.get(&name.namespace)?.services.get(&name.name)
    }

    fn entry_mut(&mut self, name: &ServiceName) -> &mut Entry {
        let namespace = self.namespaces.entry(name.namespace.clone()).or_default();
        namespace.services.entry(name.name.clone()).or_default()
    }

    fn forget_cluster_ips(&mut self, name: &ServiceName) {
        let service = self.entry(name).and_then(|entry| entry.service.as_ref());
        let Some(Reach::Addresses(addresses)) = service.map(|service| &service.reach) else {
            return;
        };
        for address in addresses.clone() {
            // Another Service may have been given it meanwhile.
            if self.by_cluster_ip.get(&address) == Some(name) {
                self.by_cluster_ip.remove(&address);
            }
        }
    }

    /// Takes `address` from `name` unless another of its slices has it, too.
    fn forget_endpoint(&mut self, address: IpAddr, name: &ServiceName) {
        let still = self.entry(name).is_some_and(|entry| {
            let endpoints = entry.slices.values().flat_map(|slice| &slice.endpoints);
            endpoints
                .filter(|endpoint| endpoint.hostname.is_some())
                .any(|endpoint| endpoint.addresses.contains(&address))
        });
        if still {
            return;
        }
        if let Some(owners) = self.by_endpoint.get_mut(&address) {
            owners.remove(name);
            if owners.is_empty() {
                self.by_endpoint.remove(&address);
            }
        }
    }

    /// Drops the entry of `name` where it is empty, and its namespace where nothing is left of it.
    fn tidy(&mut self, name: &ServiceName) {
        let Some(namespace) = self.namespaces.get_mut(&name.namespace) else {
            return;
        };
        let entry = namespace.services.get(&name.name);
        if entry.is_some_and(|entry| entry.service.is_none() && entry.slices.is_empty()) {
            namespace.services.remove(&name.name);
        }
        if !namespace.exists && namespace.services.is_empty() {
            self.namespaces.remove(&name.namespace);
        }
    }
}

fn service_name(namespace: &str, name: &str) -> ServiceName {
    ServiceName {
        namespace: namespace.to_ascii_lowercase(),
        name: name.to_ascii_lowercase(),
    }
}
