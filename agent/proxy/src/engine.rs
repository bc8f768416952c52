//! Makes the table as the model wants it.

use std::collections::BTreeSet;

use cni_plugins_nft::{Change, Element, ElementKey, Filled, NftError, Ruleset, Structure, ValueKind};

use crate::model::{Model, Update};
use crate::target::{Changed, Target};

/// Changes in one transaction when the whole table is made: it bounds what one message holds.
const CHUNK: usize = 8192;
/// Changes that a report shows.
const SHOWN: usize = 5;

/// What a call of [`Engine::sync`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Elements that were added or removed.
    pub changed: usize,
    /// Whether the table was compared as a whole.
    pub compared: bool,
    /// Whether sets or chains were not as they had been made.
    pub rebuilt: bool,
    /// The first changes, in words.
    pub shown: Vec<String>,
    /// What clients connect to that changed.
    pub targets: BTreeSet<Target>,
}

/// The model and the ruleset that shall be like it. Its calls block.
#[derive(Debug)]
pub struct Engine<R> {
    model: Model,
    rules: R,
    /// What was loaded; empty until the first time.
    loaded: Structure,
    /// Whether the table is known to be as the last plan left it.
    trusted: bool,
}

impl<R: Ruleset> Engine<R> {
    /// An engine that knows nothing of the table yet.
    pub fn new(model: Model, rules: R) -> Self {
        Self {
            model,
            rules,
            loaded: Structure::default(),
            trusted: false,
        }
    }

    /// Takes in what became known; [`Engine::sync`] applies it.
    pub fn update(&mut self, update: Update) {
        self.model.update(update);
    }

    /// The next [`Engine::sync`] compares the whole table: someone changed it.
    pub const fn distrust(&mut self) {
        self.trusted = false;
    }

    /// The model.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The ruleset.
    pub const fn rules(&mut self) -> &mut R {
        &mut self.rules
    }

    /// Makes the table as it is wanted. Does nothing before both lists were complete once: until then
    /// what is in the table may be right.
    ///
    /// # Errors
    ///
    /// When the table refuses; the next call then compares it as a whole.
    pub fn sync(&mut self) -> Result<Report, NftError> {
        if !self.model.is_complete() {
            return Ok(Report::default());
        }
        let done = if self.trusted {
            self.advance()
        } else {
            self.compare()
        };
        self.trusted = done.is_ok();
        done
    }

    /// Where `targets` lead now.
    pub fn reached(&self, targets: &BTreeSet<Target>) -> Changed {
        let reached = |target: &Target| (*target, self.model.reached(target));
        targets.iter().map(reached).collect()
    }

    fn advance(&mut self) -> Result<Report, NftError> {
        let plan = self.model.plan();
        if plan.grows {
            let structure = self.model.structure();
            self.rules.load(&structure.clone().minus(&self.loaded))?;
            self.loaded = structure;
            // Chains that `plan.idle` names are not in it any more: they go when nothing leads to them.
        }
        self.rules.change(&plan.changes)?;
        if !plan.idle.is_empty() {
            self.rules.unload(&plan.idle)?;
        }
        Ok(report(&plan.changes))
    }

    fn compare(&mut self) -> Result<Report, NftError> {
        // What it changes is part of what the comparison finds.
        self.model.plan();
        let structure = self.model.structure();
        let first = self.loaded.is_empty();
        let sound = !first && self.loaded == structure && self.rules.holds()?;
        let (base, hooks) = structure.clone().split_hooks();
        if !sound {
            self.load(&base)?;
        }
        let found = self.list(&base)?;
        let changes = self.model.repair(found);
        for part in transactions(&in_safe_order(changes.clone(), &structure)) {
            self.rules.change(part)?;
        }
        if !sound {
            // Last, so that no connection meets a table that is half full.
            self.rules.load(&hooks)?;
        }
        self.loaded = structure;
        Ok(Report {
            compared: true,
            rebuilt: !sound && !first,
            ..report(&changes)
        })
    }

    /// Loads `structure`, in place of a table that another version made, where it must be.
    fn load(&mut self, structure: &Structure) -> Result<(), NftError> {
        match self.rules.load(structure) {
            Err(NftError::Refused { .. }) => self.rules.replace(structure),
            other => other,
        }
    }

    fn list(&mut self, structure: &Structure) -> Result<Vec<Element>, NftError> {
        let mut found = Vec::new();
        for (name, spec) in &structure.sets {
            if spec.filled == Filled::ByChanges {
                found.append(&mut self.rules.elements(name, spec)?);
            }
        }
        Ok(found)
    }
}

/// Sorts changes such that each leaves a table that serves: endpoints come before the verdicts that
/// lead to them and go after them. A removal stays right before the addition that replaces it.
fn in_safe_order(mut changes: Vec<Change>, structure: &Structure) -> Vec<Change> {
    let added = |change: &Change| match change {
        Change::Add(element) => Some(element.key.clone()),
        Change::Remove(_) => None,
    };
    let added: BTreeSet<ElementKey> = changes.iter().filter_map(added).collect();
    changes.sort_by_cached_key(|change| {
        let key = change.key();
        let spec = structure.sets.get(&key.set);
        let phase: u8 = if spec.is_some_and(|spec| spec.value == ValueKind::Verdict) {
            1
        } else if added.contains(key) {
            0
        } else {
            2
        };
        (phase, key.clone())
    });
    changes
}

/// Parts of a large number of changes, each a transaction; what is replaced is in one of them.
fn transactions(changes: &[Change]) -> impl Iterator<Item = &[Change]> {
    let mut rest = changes;
    std::iter::from_fn(move || {
        let mut end = rest.len().min(CHUNK);
        while end < rest.len() && rest.get(end).map(Change::key) == rest.get(end - 1).map(Change::key) {
            end += 1;
        }
        let (part, tail) = rest.split_at_checked(end).filter(|(part, _)| !part.is_empty())?;
        rest = tail;
        Some(part)
    })
}

fn report(changes: &[Change]) -> Report {
    Report {
        changed: changes.len(),
        shown: changes.iter().take(SHOWN).map(ToString::to_string).collect(),
        targets: Target::of_changes(changes),
        ..Report::default()
    }
}
