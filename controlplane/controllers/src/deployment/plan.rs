//! What to do with the ReplicaSets of one Deployment. Pure.
//!
//! Each round is one pass of upstream's `syncDeployment` over working copies; rounds are added
//! until one changes nothing. So an applied plan leaves nothing to plan, while every single step
//! was decided on the state that the steps before it leave behind.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::budget::{Budget, available, is_recreate, size};
use super::revision::{self, DESIRED, MAX, REVISION};
use super::status::is_complete;
use super::template::{is_of_template, new_set};
use crate::meta;

/// More rounds than any plan needs; a plan cut short goes on at the next reconcile.
const ROUNDS: usize = 32;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Create the set of a new template.
    Create(Box<ReplicaSet>),
    /// Change a set.
    Update(Update),
    /// Remove a set beyond the history.
    Delete(Box<ReplicaSet>),
    /// Write the revision on the Deployment.
    Annotate(String),
}

/// Changes to one set; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Update {
    pub(super) name: String,
    /// From and to how many pods.
    pub(super) replicas: Option<(i32, i32)>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) min_ready_seconds: Option<i32>,
}

/// The sets of a Deployment, told apart by template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sets {
    /// The one of the present template.
    pub(super) new: Option<ReplicaSet>,
    /// The others, oldest first.
    pub(super) old: Vec<ReplicaSet>,
}

impl Sets {
    /// Sorts `sets`; of several with the present template the oldest counts as the new one.
    pub(super) fn sort(deployment: &Deployment, mut sets: Vec<ReplicaSet>) -> Self {
        sets.sort_by_cached_key(|set| (set.metadata.creation_timestamp.clone(), set.metadata.name.clone()));
        let position = sets.iter().position(|set| is_of_template(deployment, set));
        Self {
            new: position.map(|position| sets.remove(position)),
            old: sets,
        }
    }

    /// All sets, old ones first.
    pub(super) fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }

    fn total(&self) -> i32 {
        self.all().map(size).sum()
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut ReplicaSet> {
        self.old
            .iter_mut()
            .chain(&mut self.new)
            .find(|set| set.metadata.name.as_deref() == Some(name))
    }
}

/// The steps that bring the sets of `deployment` as far as its budget allows now.
pub(super) fn plan(deployment: &Deployment, sets: Sets) -> Vec<Step> {
    if meta::is_deleting(&deployment.metadata) {
        return Vec::new();
    }
    let mut planner = Planner {
        deployment,
        budget: Budget::of(deployment),
        revision: meta::annotation(&deployment.metadata, REVISION).map(str::to_owned),
        sets,
        steps: Vec::new(),
    };
    for _ in 0..ROUNDS {
        let before = planner.steps.len();
        planner.round();
        if planner.steps.len() == before {
            break;
        }
    }
    planner.steps
}

struct Planner<'a> {
    deployment: &'a Deployment,
    budget: Budget,
    /// The Deployment's annotation as the steps leave it.
    revision: Option<String>,
    sets: Sets,
    steps: Vec<Step>,
}

impl Planner<'_> {
    fn round(&mut self) {
        let before = self.steps.len();
        self.renew();
        if self.is_paused() {
            self.scale();
            self.clean_up();
            return;
        }
        if self.is_scaling() {
            self.scale();
            if self.steps.len() > before {
                return;
            }
        }
        if is_recreate(self.deployment) {
            self.recreate();
        } else {
            self.roll();
        }
        if self.steps.len() == before && is_complete(self.deployment) {
            self.clean_up();
        }
    }

    fn is_paused(&self) -> bool {
        let paused = self.deployment.spec.as_ref().and_then(|spec| spec.paused);
        paused == Some(true)
    }

    /// Whether `spec.replicas` has changed since a set was sized.
    fn is_scaling(&self) -> bool {
        let wanted = i64::from(self.budget.replicas);
        self.sets
            .all()
            .filter(|set| size(set) > 0)
            .any(|set| revision::number(&set.metadata, DESIRED).is_some_and(|desired| desired != wanted))
    }

    /// Keeps revision, annotations and `minReadySeconds` of the new set right.
    fn renew(&mut self) {
        let Some(new) = &self.sets.new else { return };
        let wanted = revision::annotations(self.deployment, new, &self.sets.old);
        let min_ready = self
            .deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.min_ready_seconds);
        let present = new.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        let differs = min_ready.unwrap_or_default() != present.unwrap_or_default();
        let update = Update {
            name: meta::name(&new.metadata).to_owned(),
            annotations: revision::missing(&new.metadata, wanted),
            min_ready_seconds: differs.then(|| min_ready.unwrap_or_default()),
            replicas: None,
        };
        self.update(update);
        self.annotate();
    }

    fn annotate(&mut self) {
        let new = self.sets.new.as_ref();
        let wanted = new.and_then(|new| meta::annotation(&new.metadata, REVISION));
        let Some(wanted) = wanted.map(str::to_owned) else {
            return;
        };
        if self.revision.as_deref() != Some(&wanted) {
            self.revision = Some(wanted.clone());
            self.steps.push(Step::Annotate(wanted));
        }
    }

    /// Creates the set of the present template with as many pods as the budget has room for.
    fn create(&mut self) {
        let mut set = new_set(self.deployment);
        let replicas = if is_recreate(self.deployment) {
            self.budget.replicas
        } else {
            let room = self.budget.most() - self.sets.total();
            room.clamp(0, self.budget.replicas)
        };
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(replicas);
        }
        let mut annotations = revision::annotations(self.deployment, &set, &self.sets.old);
        annotations.extend(revision::sizes(&self.budget));
        set.metadata.annotations = Some(annotations);
        self.steps.push(Step::Create(Box::new(set.clone())));
        self.sets.new = Some(set);
        self.annotate();
    }

    fn recreate(&mut self) {
        let active: Vec<String> = self.active_old().map(name).collect();
        for name in active {
            self.resize(&name, 0);
        }
        if self.sets.old.iter().any(has_pods) {
            return;
        }
        match self.sets.new.as_ref().map(name) {
            None => self.create(),
            Some(new) => {
                self.resize(&new, self.budget.replicas);
            }
        }
    }

    fn roll(&mut self) {
        if self.sets.new.is_none() {
            self.create();
            return;
        }
        if !self.grow_new() {
            self.shrink_old();
        }
    }

    /// Brings the new set up as far as the surge allows, or down to what is wanted.
    fn grow_new(&mut self) -> bool {
        let Some(new) = &self.sets.new else {
            return false;
        };
        let (name, present) = (name(new), size(new));
        let room = (self.budget.most() - self.sets.total()).max(0);
        let target = if present > self.budget.replicas {
            self.budget.replicas
        } else {
            present.saturating_add(room).min(self.budget.replicas)
        };
        self.resize(&name, target)
    }

    /// Takes from the old sets what the budget allows: first pods that are not available anyway.
    fn shrink_old(&mut self) {
        let new = self.sets.new.as_ref();
        let unavailable = new.map_or(0, |new| size(new) - available(new));
        let surplus = self.sets.total() - self.budget.fewest() - unavailable;
        if surplus <= 0 {
            return;
        }
        self.take(surplus, |set| size(set) - available(set));
        let present: i32 = self.sets.all().map(available).sum();
        self.take(present - self.budget.fewest(), size);
    }

    /// Takes up to `count` pods from the old sets, oldest first, from each at most what `from` says.
    fn take(&mut self, count: i32, from: impl Fn(&ReplicaSet) -> i32) {
        let mut left = count;
        let offers: Vec<(String, i32, i32)> = self
            .active_old()
            .map(|set| (name(set), size(set), from(set)))
            .collect();
        for (name, size, offer) in offers {
            let taken = offer.min(left);
            if taken > 0 {
                self.resize(&name, size - taken);
                left -= taken;
            }
        }
    }

    fn active_old(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.sets.old.iter().filter(|set| size(set) > 0)
    }

    /// Spreads a changed `spec.replicas` over the sets, in proportion during a rollout.
    fn scale(&mut self) {
        let active: Vec<&ReplicaSet> = self.sets.all().filter(|set| size(set) > 0).collect();
        let only = match active.as_slice() {
            [] => self.sets.new.as_ref().or(self.sets.old.last()),
            [one] => Some(*one),
            _ => None,
        };
        if let Some(only) = only.map(name) {
            self.resize(&only, self.budget.replicas);
        } else if self.is_saturated() {
            let old: Vec<String> = self.active_old().map(name).collect();
            for name in old {
                self.resize(&name, 0);
            }
        } else if !active.is_empty() && !is_recreate(self.deployment) {
            self.scale_in_proportion();
        }
    }

    /// Whether the new set has taken over entirely.
    fn is_saturated(&self) -> bool {
        self.sets.new.as_ref().is_some_and(|new| {
            let wanted = self.budget.replicas;
            size(new) == wanted
                && available(new) == wanted
                && revision::number(&new.metadata, DESIRED) == Some(wanted.into())
        })
    }

    fn scale_in_proportion(&mut self) {
        let mut active: Vec<&ReplicaSet> = self.sets.all().filter(|set| size(set) > 0).collect();
        let total: i32 = active.iter().map(|set| size(set)).sum();
        let allowed = if self.budget.replicas > 0 {
            self.budget.most()
        } else {
            0
        };
        let to_add = allowed - total;
        // The largest set takes what rounding leaves over; of equals the newer when growing, the
        // older when shrinking. `all` has the older first, and the sorts keep that order.
        if to_add > 0 {
            active.reverse();
        }
        active.sort_by_key(|set| std::cmp::Reverse(size(set)));
        let mut added = 0;
        let mut sizes: Vec<(String, i32)> = Vec::new();
        for set in active {
            let share = self.proportion(set, to_add, added);
            added += share;
            sizes.push((name(set), size(set) + share));
        }
        if let Some((_, first)) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (name, size) in sizes {
            self.resize(&name, size);
        }
    }

    /// What a set gains or loses of `to_add` pods, of which `added` are given out.
    fn proportion(&self, set: &ReplicaSet, to_add: i32, added: i32) -> i32 {
        if to_add == 0 || to_add == added {
            return 0;
        }
        let size = size(set);
        let share = if self.budget.replicas == 0 {
            -size
        } else {
            let before = revision::number(&set.metadata, MAX)
                .filter(|max| *max > 0)
                .unwrap_or_else(|| self.sets.total().max(1).into());
            let scaled = f64::from(size) * f64::from(self.budget.most()) / to_f64(before);
            rounded(scaled) - size
        };
        let left = to_add - added;
        if to_add > 0 {
            share.min(left)
        } else {
            share.max(left)
        }
    }

    /// Removes the oldest empty sets beyond `revisionHistoryLimit`.
    fn clean_up(&mut self) {
        let spec = self.deployment.spec.as_ref();
        let limit = spec.and_then(|spec| spec.revision_history_limit).unwrap_or(10);
        let limit = usize::try_from(limit).unwrap_or_default();
        let mut old: Vec<&ReplicaSet> = self
            .sets
            .old
            .iter()
            .filter(|set| !meta::is_deleting(&set.metadata))
            .collect();
        let surplus = old.len().saturating_sub(limit);
        old.sort_by_key(|set| revision::revision(&set.metadata));
        let gone: Vec<ReplicaSet> = old
            .into_iter()
            .take(surplus)
            .filter(|set| size(set) == 0 && !has_pods(set))
            .cloned()
            .collect();
        for set in gone {
            self.sets.old.retain(|old| old.metadata.name != set.metadata.name);
            self.steps.push(Step::Delete(Box::new(set)));
        }
    }

    /// Sets a size, and the sizes noted beside it. Tells whether the size changed.
    fn resize(&mut self, name: &str, size: i32) -> bool {
        let sizes = revision::sizes(&self.budget);
        let Some(set) = self.sets.get_mut(name) else {
            return false;
        };
        let present = self::size(set);
        let update = Update {
            name: name.to_owned(),
            replicas: (present != size).then_some((present, size)),
            annotations: revision::missing(&set.metadata, sizes),
            min_ready_seconds: None,
        };
        self.update(update);
        present != size
    }

    fn update(&mut self, update: Update) {
        let idle =
            update.replicas.is_none() && update.annotations.is_empty() && update.min_ready_seconds.is_none();
        if idle {
            return;
        }
        if let Some(set) = self.sets.get_mut(&update.name) {
            change(set, &update);
            self.steps.push(Step::Update(update));
        }
    }
}

/// Makes the changes of `update` to a copy of its set.
pub(super) fn change(set: &mut ReplicaSet, update: &Update) {
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.extend(update.annotations.clone());
    let spec = set.spec.get_or_insert_default();
    if let Some((_, to)) = update.replicas {
        spec.replicas = Some(to);
    }
    if let Some(seconds) = update.min_ready_seconds {
        spec.min_ready_seconds = Some(seconds);
    }
}

/// Whether pods of the set may exist: counted, ending, or not counted yet.
fn has_pods(set: &ReplicaSet) -> bool {
    let status = set.status.clone().unwrap_or_default();
    let observed = status.observed_generation.unwrap_or_default();
    status.replicas > 0
        || status.terminating_replicas.unwrap_or_default() > 0
        || set.metadata.generation.unwrap_or_default() > observed
}

fn name(set: &ReplicaSet) -> String {
    meta::name(&set.metadata).to_owned()
}

fn to_f64(number: i64) -> f64 {
    f64::from(i32::try_from(number).unwrap_or(i32::MAX))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float beyond the range saturates, which is what is wanted"
)]
fn rounded(number: f64) -> i32 {
    number.round() as i32
}

#[cfg(test)]
mod tests;
