//! From the endpoints wanted and the slices there are to the writes in between. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

use super::pack::pack;
use crate::meta;

/// Endpoints in one slice at most, as upstream: small enough to be sent at each change.
const CAPACITY: usize = 100;

/// A port of endpoints, in a form that sorts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) number: Option<i32>,
    pub(crate) app_protocol: Option<String>,
}

/// The ports that all endpoints of a slice have.
pub(crate) type PortSet = BTreeSet<Port>;

impl Port {
    fn read(port: &EndpointPort) -> Self {
        Self {
            name: port.name.clone(),
            protocol: port.protocol.clone(),
            number: port.port,
            app_protocol: port.app_protocol.clone(),
        }
    }

    fn write(&self) -> EndpointPort {
        EndpointPort {
            name: self.name.clone(),
            protocol: self.protocol.clone(),
            port: self.number,
            app_protocol: self.app_protocol.clone(),
        }
    }
}

/// Endpoints that may lie in one slice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// The address type.
    pub(crate) family: String,
    pub(crate) ports: PortSet,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// What all slices of one owner share.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) namespace: String,
    /// Name of the Service, with which the names of slices begin.
    pub(crate) name: String,
    pub(crate) owner: OwnerReference,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    /// Address types of which an empty slice is kept where there are no endpoints, so that
    /// whoever reads slices can tell *none* from *not yet*.
    pub(crate) placeholders: Vec<String>,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Make a slice.
    Create(EndpointSlice),
    /// Write a slice anew.
    Update(EndpointSlice),
    /// Remove a slice.
    Delete(Arc<EndpointSlice>),
}

impl Frame {
    fn fresh(&self, family: &str, ports: &PortSet, endpoints: Vec<Endpoint>) -> EndpointSlice {
        EndpointSlice {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", self.name)),
                namespace: Some(self.namespace.clone()),
                labels: Some(self.labels.clone()),
                annotations: self.annotations.clone(),
                owner_references: Some(vec![self.owner.clone()]),
                ..ObjectMeta::default()
            },
            address_type: family.to_owned(),
            endpoints: Some(endpoints),
            ports: Some(ports.iter().map(Port::write).collect()),
        }
    }

    /// The slice as it should be, and whether it is not.
    fn renewed(&self, slice: &EndpointSlice, wanted: EndpointSlice) -> Option<EndpointSlice> {
        let mut metadata = slice.metadata.clone();
        metadata.labels = wanted.metadata.labels;
        metadata.annotations = wanted.metadata.annotations;
        metadata.owner_references = wanted.metadata.owner_references;
        let renewed = EndpointSlice { metadata, ..wanted };
        (!same(&renewed, slice)).then_some(renewed)
    }

    fn owns(&self, slice: &EndpointSlice) -> bool {
        meta::controller_of(&slice.metadata).is_none_or(|owner| owner.uid == self.owner.uid)
    }
}

/// Whether two slices say the same; nothing and an empty list are the same.
fn same(one: &EndpointSlice, other: &EndpointSlice) -> bool {
    let parts = |slice: &EndpointSlice| {
        (
            slice.endpoints.clone().unwrap_or_default(),
            ports(slice),
            slice.metadata.labels.clone().unwrap_or_default(),
            slice.metadata.annotations.clone().unwrap_or_default(),
            slice.metadata.owner_references.clone().unwrap_or_default(),
        )
    };
    parts(one) == parts(other)
}

fn ports(slice: &EndpointSlice) -> PortSet {
    slice.ports.iter().flatten().map(Port::read).collect()
}

/// The writes that turn `existing`, all slices of the owner, into ones that hold `groups`.
pub(crate) fn plan(frame: &Frame, groups: Vec<Group>, existing: &[Arc<EndpointSlice>]) -> Vec<Step> {
    // Slices of an owner of the same name that is gone are the garbage collector's.
    let mut left: Vec<Arc<EndpointSlice>> = existing
        .iter()
        .filter(|slice| frame.owns(slice) && !meta::is_deleting(&slice.metadata))
        .cloned()
        .collect();
    let mut writes = Writes::default();
    let mut served: BTreeSet<String> = BTreeSet::new();
    for group in groups.into_iter().filter(|group| !group.endpoints.is_empty()) {
        served.insert(group.family.clone());
        let mine: Vec<_> = left
            .extract_if(.., |slice| {
                slice.address_type == group.family && ports(slice) == group.ports
            })
            .collect();
        writes.group(frame, group, &mine);
    }
    for family in frame
        .placeholders
        .iter()
        .filter(|family| !served.contains(*family))
    {
        let empty = left.iter().position(|slice| {
            slice.address_type == *family && slice.endpoints.as_ref().is_none_or(Vec::is_empty)
        });
        let wanted = frame.fresh(family, &PortSet::new(), Vec::new());
        match empty.map(|at| left.swap_remove(at)) {
            Some(slice) => writes.updated.extend(frame.renewed(&slice, wanted)),
            None => writes.created.push(wanted),
        }
    }
    writes.deleted.extend(left);
    writes.into_steps(frame)
}

#[derive(Debug, Default)]
struct Writes {
    created: Vec<EndpointSlice>,
    updated: Vec<EndpointSlice>,
    deleted: Vec<Arc<EndpointSlice>>,
}

impl Writes {
    fn group(&mut self, frame: &Frame, group: Group, existing: &[Arc<EndpointSlice>]) {
        let packing = pack(existing, group.endpoints, CAPACITY);
        for (slice, endpoints) in packing.kept {
            let wanted = frame.fresh(&group.family, &group.ports, endpoints);
            self.updated.extend(frame.renewed(&slice, wanted));
        }
        let fresh = packing.fresh.into_iter();
        self.created
            .extend(fresh.map(|endpoints| frame.fresh(&group.family, &group.ports, endpoints)));
        self.deleted.extend(packing.emptied);
    }

    /// A slice that would go is written over instead of making a new one, where both hold the
    /// same type of addresses: one write instead of two, and never a moment without.
    fn into_steps(mut self, frame: &Frame) -> Vec<Step> {
        let mut fresh = Vec::new();
        for created in self.created {
            let reused = self
                .deleted
                .iter()
                .position(|slice| slice.address_type == created.address_type);
            match reused.map(|at| self.deleted.swap_remove(at)) {
                Some(slice) => self.updated.extend(frame.renewed(&slice, created)),
                None => fresh.push(created),
            }
        }
        let fresh = fresh.into_iter().map(Step::Create);
        let updated = self.updated.into_iter().map(Step::Update);
        let deleted = self.deleted.into_iter().map(Step::Delete);
        fresh.chain(updated).chain(deleted).collect()
    }
}

#[cfg(test)]
mod tests;
