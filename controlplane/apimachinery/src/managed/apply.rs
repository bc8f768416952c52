//! Server-side apply, and what a change takes from its owners.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::client_side;
use super::collect;
use super::compare::Comparison;
use super::conflict::{self, ApplyError, Conflict};
use super::entry::{Entry, Managed, Operation};
use super::merge::{merge, reconciled, with_named_fields, without};
use super::set::FieldSet;
use super::{Writer, managed_fields, strip};
use crate::meta;
use crate::schema::TypeRef;

/// Who owns what was there before the first apply, where nobody kept track.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// What a write changes, in each version in which somebody owns something.
pub(super) struct Changes<'w, 'a> {
    writer: &'w Writer<'a>,
    live: &'w Value,
    new: &'w Value,
    own: Comparison,
}

impl<'w, 'a> Changes<'w, 'a> {
    pub(super) fn new(writer: &'w Writer<'a>, live: &'w Value, new: &'w Value, own: Comparison) -> Self {
        Self {
            writer,
            live,
            new,
            own,
        }
    }

    /// What is added or modified, in the writer's version.
    pub(super) fn own_changed(&self) -> FieldSet {
        changed(&self.own)
    }

    /// Takes from every owner what is changed or removed. Owners in a version that is not served own nothing any more.
    pub(super) fn yield_changed(&self, managed: &mut Managed) {
        let mut others = BTreeMap::new();
        managed.0.retain_mut(|entry| {
            let Some((changed, removed)) = self.in_version(&entry.api_version, &mut others) else {
                return false;
            };
            entry.fields.subtract(&changed);
            entry.fields.subtract(&removed);
            !entry.fields.is_empty()
        });
    }

    /// The fields of others that are changed, owner by owner.
    fn conflicts(&self, managed: &Managed, own: &Entry) -> Vec<(Entry, FieldSet)> {
        let mut others = BTreeMap::new();
        let mut found: Vec<(Entry, FieldSet)> = managed
            .0
            .iter()
            .filter(|entry| !entry.is_of(own))
            .filter_map(|entry| {
                let (changed, _) = self.in_version(&entry.api_version, &mut others)?;
                let common = entry.fields.common(&changed);
                (!common.is_empty()).then(|| (entry.clone(), common))
            })
            .collect();
        found.sort_by_cached_key(|(entry, _)| entry.identity());
        found
    }

    /// What is changed and what is removed, in one version.
    fn in_version(
        &self,
        api_version: &str,
        others: &mut BTreeMap<String, Option<(FieldSet, FieldSet)>>,
    ) -> Option<(FieldSet, FieldSet)> {
        let known = others.entry(api_version.to_owned()).or_insert_with(|| {
            if api_version == self.writer.api_version {
                return Some((changed(&self.own), self.own.removed.clone()));
            }
            let (live, _) = self.writer.versions.view(self.live, api_version)?;
            let (new, schema) = self.writer.versions.view(self.new, api_version)?;
            let mut comparison = Comparison::of(schema, &live, &new);
            comparison.ignore(self.writer.reset);
            Some((changed(&comparison), comparison.removed))
        });
        known.clone()
    }
}

fn changed(comparison: &Comparison) -> FieldSet {
    let mut changed = comparison.modified.clone();
    changed.unite(comparison.added.clone());
    changed
}

impl Writer<'_> {
    /// `live` (none where the object is to be created) with `config` applied: with what the manager wants, without what
    /// it wanted before and nobody else owns, and with `metadata.managedFields` that say so.
    ///
    /// The object comes out in the writer's version; it may hold `null`s, and defaults are to be filled in.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]: conflicts unless `force` is set, or what is wrong with the configuration.
    pub fn apply(&self, live: Option<&Value>, config: &Value, force: bool) -> Result<Value, ApplyError> {
        self.check(config)?;
        let owners = live.and_then(managed_fields).unwrap_or(&Value::Null);
        let mut managed = Managed::decode(owners)?;
        let mut bare = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
        meta::remove(&mut bare, "managedFields");
        if managed.is_empty() {
            let nothing = Value::Object(Map::new());
            let mut comparison = Comparison::of(self.schema, &nothing, &bare);
            comparison.ignore(self.reset);
            strip(&mut comparison.added);
            strip(&mut comparison.modified);
            self.take(&mut managed, &nothing, &bare, comparison, BEFORE_FIRST_APPLY);
        }
        self.reconcile(&mut managed);
        let mut applied = self.apply_as_kubectl(&bare, config, &managed, force)?;
        if self.manager == client_side::KUBECTL {
            client_side::note(&mut applied.object, config);
        }
        if let Some(list) = applied.managed.encode() {
            meta::set(&mut applied.object, "managedFields", list);
        }
        Ok(applied.object)
    }

    fn check(&self, config: &Value) -> Result<(), ApplyError> {
        let text = |field: &str| config.get(field).and_then(Value::as_str).unwrap_or_default();
        let kind = self.schema.kind_in(self.api_version);
        if text("apiVersion") != self.api_version || kind.is_some_and(|kind| kind != text("kind")) {
            let given = group_version_kind(text("apiVersion"), text("kind"));
            return Err(ApplyError::OtherKind { given });
        }
        match config
            .get("metadata")
            .and_then(|metadata| metadata.get("managedFields"))
        {
            Some(given) if !given.is_null() => Err(ApplyError::ManagedFieldsGiven),
            _ => Ok(()),
        }
    }

    /// Owners follow what the table says now.
    fn reconcile(&self, managed: &mut Managed) {
        for entry in &mut managed.0 {
            if entry.api_version == self.api_version {
                entry.fields = reconciled(self.schema, std::mem::take(&mut entry.fields));
            }
        }
    }

    /// What kubectl applied from the client's side and nobody has changed since, it need not force.
    fn apply_as_kubectl(
        &self,
        live: &Value,
        config: &Value,
        managed: &Managed,
        force: bool,
    ) -> Result<Applied, ApplyError> {
        match self.apply_once(live, config, managed.clone(), force)? {
            Outcome::Applied(applied) => Ok(applied),
            Outcome::Conflicts(conflicts) => {
                let allowed = (self.manager == client_side::KUBECTL)
                    .then(|| client_side::unchanged_since(self.schema, live, self.api_version))
                    .flatten()
                    .unwrap_or_default();
                let left: Vec<Conflict> = conflicts
                    .into_iter()
                    .flat_map(|(entry, mut fields)| {
                        fields.subtract(&allowed);
                        let owner = conflict::shown(&entry);
                        let conflict = move |path| Conflict {
                            owner: owner.clone(),
                            path,
                        };
                        fields.paths().into_iter().map(conflict)
                    })
                    .collect();
                if !left.is_empty() {
                    return Err(ApplyError::Conflicts(left));
                }
                match self.apply_once(live, config, managed.clone(), true)? {
                    Outcome::Applied(applied) => Ok(applied),
                    // By force there are none.
                    Outcome::Conflicts(_) => Err(ApplyError::Conflicts(Vec::new())),
                }
            }
        }
    }

    fn apply_once(
        &self,
        live: &Value,
        config: &Value,
        mut managed: Managed,
        force: bool,
    ) -> Result<Outcome, ApplyError> {
        let mut wanted = collect::configured(self.schema, config).map_err(|mistakes| ApplyError::Unfit {
            object: self.named(config),
            mistakes,
        })?;
        wanted.subtract_all(self.reset);
        let mut own = self.entry(self.manager, Operation::Apply, wanted);
        let last = managed.find(&own).cloned();
        managed.put(own.clone());
        let merged = merge(self.schema, live, config);
        let object = match &last {
            // What has lost all that it had is gone, but for what the manager wants to be there and empty.
            Some(last) => merge(self.schema, &self.prune(merged, &managed, last), config),
            None => merged,
        };
        let mut comparison = Comparison::of(self.schema, live, &object);
        comparison.ignore(self.reset);
        let changes = Changes::new(self, live, &object, comparison);
        let conflicts = changes.conflicts(&managed, &own);
        if !force && !conflicts.is_empty() {
            return Ok(Outcome::Conflicts(conflicts));
        }
        // The applier keeps what it wants: only others yield.
        managed.0.retain(|entry| !entry.is_of(&own));
        changes.yield_changed(&mut managed);
        strip(&mut own.fields);
        if let Some(last) = last.filter(|_| *live == object) {
            own.time = last.time;
        }
        managed.put(own);
        Ok(Outcome::Applied(Applied { object, managed }))
    }

    /// `default/web; apps/v1, Kind=Deployment`.
    fn named(&self, config: &Value) -> String {
        let kind = config.get("kind").and_then(Value::as_str).unwrap_or_default();
        format!(
            "{}/{}; {}",
            meta::namespace(config),
            meta::name(config),
            group_version_kind(self.api_version, kind)
        )
    }

    /// Takes out what the manager last wanted, no longer wants, and nobody else owns.
    fn prune(&self, merged: Value, managed: &Managed, last: &Entry) -> Value {
        let Some((at_last, schema)) = self.view(&merged, &last.api_version) else {
            return merged;
        };
        let last_fields = with_named_fields(schema, &last.fields);
        let mut pruned = without(schema, &at_last, &last_fields);
        let mut by_version: BTreeMap<&str, FieldSet> = BTreeMap::new();
        for entry in &managed.0 {
            by_version
                .entry(&entry.api_version)
                .or_default()
                .unite(entry.fields.clone());
        }
        if let Some(owned) = by_version.remove(last.api_version.as_str()) {
            pruned = add_back(schema, &at_last, &pruned, &owned);
        }
        for (version, owned) in by_version {
            pruned = self
                .add_back_in(version, &last.api_version, (&at_last, &pruned), &owned)
                .unwrap_or(pruned);
        }
        // What is gone now was this manager's to take; the rest comes back.
        let mut gone = with_named_fields(schema, &collect::present(schema, &at_last));
        gone.subtract(&with_named_fields(schema, &collect::present(schema, &pruned)));
        let pruned = without(schema, &at_last, &gone.common(&last_fields));
        let restored = if last.api_version == self.api_version {
            Some(pruned)
        } else {
            self.versions.restore(pruned, &last.api_version)
        };
        restored.unwrap_or(merged)
    }

    /// As [`add_back`], for what is owned in another version than the one in which is pruned.
    fn add_back_in(
        &self,
        version: &str,
        pruned_in: &str,
        (merged, pruned): (&Value, &Value),
        owned: &FieldSet,
    ) -> Option<Value> {
        let there = |object: &Value| {
            let own = if pruned_in == self.api_version {
                object.clone()
            } else {
                self.versions.restore(object.clone(), pruned_in)?
            };
            self.view(&own, version)
                .map(|(object, schema)| (object.into_owned(), schema))
        };
        let ((merged, schema), (pruned, _)) = (there(merged)?, there(pruned)?);
        let pruned = add_back(schema, &merged, &pruned, owned);
        let own = if version == self.api_version {
            pruned
        } else {
            self.versions.restore(pruned, version)?
        };
        self.view(&own, pruned_in).map(|(object, _)| object.into_owned())
    }

    /// An object of the writer's version in any version.
    fn view<'o>(&self, object: &'o Value, api_version: &str) -> Option<(Cow<'o, Value>, TypeRef<'_>)> {
        if api_version == self.api_version {
            return Some((Cow::Borrowed(object), self.schema));
        }
        let (object, schema) = self.versions.view(object, api_version)?;
        Some((Cow::Owned(object), schema))
    }
}

/// What `pruned` has lost of `merged` comes back where it is owned.
fn add_back(schema: TypeRef<'_>, merged: &Value, pruned: &Value, owned: &FieldSet) -> Value {
    let mut gone = with_named_fields(schema, &collect::present(schema, merged));
    gone.subtract(&with_named_fields(schema, &collect::present(schema, pruned)));
    gone.subtract(&with_named_fields(schema, owned));
    without(schema, merged, &gone)
}

/// An object and who owns it.
struct Applied {
    object: Value,
    managed: Managed,
}

enum Outcome {
    Applied(Applied),
    Conflicts(Vec<(Entry, FieldSet)>),
}

/// `apps/v1, Kind=Deployment`; the core group shows as `/v1, Kind=Pod`.
fn group_version_kind(api_version: &str, kind: &str) -> String {
    if api_version.contains('/') {
        format!("{api_version}, Kind={kind}")
    } else {
        format!("/{api_version}, Kind={kind}")
    }
}
