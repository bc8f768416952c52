//! What upstream's admission plugin `ResourceQuota` and its controller do: objects use no more than the quotas of their
//! namespace have.
//!
//! What is used changes in the transaction of the object itself, so it is exact at every revision, and there is nothing to
//! wait for. A new or changed quota counts what is there, and counts again until nobody came between: it writes its
//! namespace, too, whose version every charge compares.

use std::collections::BTreeSet;
use std::sync::Arc;

use controlplane_api::admit::pod_resources::Amounts;
use controlplane_api::admit::quota;
use controlplane_api::{ApiError, Resource, meta};
use controlplane_store::{Compare, Entry, Key, Op, Outcome, Txn};
use serde_json::Value;

use super::{forbidden, is, lookup};
use crate::call::Call;
use crate::write::commit::{self, ATTEMPTS, Extra};

fn is_quota(resource: &Resource) -> bool {
    is(resource, "", "resourcequotas")
}

/// Events come and go by themselves; reviews and bindings are never there.
fn is_counted(resource: &Resource) -> bool {
    resource.is_namespaced() && !resource.transient && resource.ttl.is_none()
}

/// Charges the quotas of the namespace for a change from `before` to `after`, in the change's own transaction.
///
/// # Errors
///
/// 403 where one has not got so much, or a new pod does not say what one limits.
pub(crate) fn charge(
    call: &Call,
    before: Option<&Value>,
    after: Option<&Value>,
    extra: &mut Extra,
) -> Result<(), ApiError> {
    if !is_counted(&call.resource) {
        return Ok(());
    }
    let quotas = lookup::entries(call, &format!("resourcequotas/{}", call.namespace()))?;
    let Resource { group, plural, .. } = &*call.resource;
    let used = |object: Option<&Value>| {
        object
            .map(|object| quota::usage(group, plural, object))
            .unwrap_or_default()
    };
    let (had, has) = (used(before), used(after));
    let own = own_key(call, before.or(after));
    let quotas = quotas.iter().filter(|entry| Some(&entry.key) != own.as_ref());
    let mut charged = false;
    for entry in quotas.filter(|_| had != has) {
        let held = lookup::parsed(entry)?;
        let covered = |object: Option<&Value>, all: &Amounts| match object {
            Some(object) if quota::covers(&held, group, plural, object) => all.clone(),
            _ => Amounts::new(),
        };
        let (had, has) = (covered(before, &had), covered(after, &has));
        if had == has || !quota::is_about(&held, group, plural) {
            continue;
        }
        charge_one(call, (entry, held), (before, after), (&had, &has), extra)?;
        charged = true;
    }
    if charged || had != has {
        extra
            .compares
            .extend(namespace(call).map(|entry| Compare::ModRevision(entry.key.clone(), entry.mod_revision)));
    }
    Ok(())
}

/// The key of the written object, where that is a quota, which is not charged for itself.
fn own_key(call: &Call, object: Option<&Value>) -> Option<Key> {
    let name = object.filter(|_| is_quota(&call.resource)).map(meta::name)?;
    Key::parse(&format!(
        "{}resourcequotas/{}/{name}",
        Key::ROOT,
        call.namespace()
    ))
    .ok()
}

fn charge_one(
    call: &Call,
    (entry, mut held): (&Arc<Entry>, Value),
    (before, after): (Option<&Value>, Option<&Value>),
    (had, has): (&Amounts, &Amounts),
    extra: &mut Extra,
) -> Result<(), ApiError> {
    let refused = |why: String| forbidden(call, after.or(before).unwrap_or(&Value::Null), &why);
    if let (None, Some(pod)) = (before, after)
        && is(&call.resource, "", "pods")
    {
        quota::check_said(&held, pod).map_err(refused)?;
    }
    let used = quota::charge(&held, had, has).map_err(refused)?;
    if !quota::set_used(&mut held, &used) {
        return Ok(());
    }
    extra
        .compares
        .push(Compare::ModRevision(entry.key.clone(), entry.mod_revision));
    extra.ops.push(Op::Put {
        key: entry.key.clone(),
        value: commit::encode(&held)?,
        expires_at: None,
    });
    Ok(())
}

fn namespace(call: &Call) -> Option<Arc<Entry>> {
    let key = Key::parse(&format!("{}namespaces/{}", Key::ROOT, call.namespace())).ok()?;
    call.store().get(&key)
}

/// Counts what a new quota, or one with other limits, is about, and makes everybody who is charged meanwhile look again.
///
/// # Errors
///
/// Only for what would be a bug.
pub(crate) fn measure(
    call: &Call,
    old: Option<&Value>,
    new: &mut Value,
    extra: &mut Extra,
) -> Result<(), ApiError> {
    let spec = |quota: &Value| quota.get("spec").cloned();
    if !is_quota(&call.resource) || old.is_some_and(|old| spec(old) == spec(new)) {
        return Ok(());
    }
    let used = counted(call, new)?;
    quota::set_status(new, &used);
    let namespace = namespace(call).map(|entry| Op::Put {
        key: entry.key.clone(),
        value: entry.value.clone(),
        expires_at: None,
    });
    extra.ops.extend(namespace);
    Ok(())
}

/// What is there of all that a quota is about.
fn counted(call: &Call, quota: &Value) -> Result<Amounts, ApiError> {
    let mut sum = Amounts::new();
    let mut seen = BTreeSet::new();
    for resource in call
        .server
        .registry
        .iter()
        .filter(|resource| is_counted(resource) && resource.storage.is_none())
    {
        let Resource { group, plural, .. } = &**resource;
        if !seen.insert((group.clone(), plural.clone())) || !quota::is_about(quota, group, plural) {
            continue;
        }
        let folder = match &**group {
            "" => format!("{plural}/{}", call.namespace()),
            group => format!("{group}/{plural}/{}", call.namespace()),
        };
        for object in lookup::marked(call, &folder, "")? {
            if quota::covers(quota, group, plural, &object) {
                quota::add(&mut sum, &quota::usage(group, plural, &object));
            }
        }
    }
    Ok(sum)
}

/// Counts once more after a quota was written: what came between its count and its write was not charged.
///
/// # Errors
///
/// As a write of the quota's status.
pub(crate) async fn settle(call: &Call, written: &Entry) -> Result<Entry, ApiError> {
    let mut entry = written.clone();
    for _ in 0..ATTEMPTS {
        let mut quota = lookup::parsed(&entry)?;
        let used = counted(call, &quota)?;
        quota::set_status(&mut quota, &used);
        let value = commit::encode(&quota)?;
        if value == entry.value {
            return Ok(entry);
        }
        let txn = Txn {
            actor: call.actor(),
            compares: vec![Compare::ModRevision(entry.key.clone(), entry.mod_revision)],
            ops: vec![Op::Put {
                key: entry.key.clone(),
                value: value.clone(),
                expires_at: None,
            }],
        };
        match commit::propose(call.store(), txn).await? {
            Outcome::Committed { revision } => {
                entry.value = value;
                entry.mod_revision = revision;
            }
            Outcome::Refused { .. } => match call.store().get(&entry.key) {
                Some(current) => entry = Entry::clone(&current),
                None => return Ok(entry),
            },
        }
    }
    Ok(entry)
}

/// Whether a write was of a quota, which is then to be [settled](settle).
pub(crate) fn is_to_settle(call: &Call) -> bool {
    is_quota(&call.resource)
}
