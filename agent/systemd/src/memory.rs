//! A service manager in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::{
    ActiveState, Change, Changes, KillWho, Limits, ServiceSpec, SliceSpec, UnitError, UnitManager, UnitName,
    UnitState, Verb,
};

/// Notices kept for a reader that lags.
const CHANGES: usize = 256;

/// Units that run nothing: a started one is active until it is stopped, killed or [ended](Self::end).
#[derive(Debug)]
pub struct MemoryUnits {
    units: Mutex<BTreeMap<UnitName, Unit>>,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug, Clone)]
struct Unit {
    active: ActiveState,
    spec: Option<ServiceSpec>,
    limits: Limits,
    starts: u64,
    signals: Vec<i32>,
    stubborn: bool,
}

impl Default for MemoryUnits {
    fn default() -> Self {
        Self {
            units: Mutex::default(),
            changes: broadcast::channel(CHANGES).0,
        }
    }
}

impl MemoryUnits {
    /// The service's specification, where it is loaded.
    #[must_use]
    pub fn service(&self, unit: &UnitName) -> Option<ServiceSpec> {
        self.lock().get(unit).and_then(|u| u.spec.clone())
    }

    /// The limits of `unit` as they are, where it is loaded.
    #[must_use]
    pub fn limits(&self, unit: &UnitName) -> Option<Limits> {
        self.lock().get(unit).map(|u| u.limits.clone())
    }

    /// How often `unit` was started since it was made.
    #[must_use]
    pub fn starts(&self, unit: &UnitName) -> u64 {
        self.lock().get(unit).map_or(0, |u| u.starts)
    }

    /// The signals sent to `unit`, in order.
    #[must_use]
    pub fn signals(&self, unit: &UnitName) -> Vec<i32> {
        self.lock()
            .get(unit)
            .map(|u| u.signals.clone())
            .unwrap_or_default()
    }

    /// Lets `unit` end by itself: well (it is forgotten) or badly (it stays, failed).
    pub fn end(&self, unit: &UnitName, outcome: ActiveState) {
        self.settle(unit, outcome);
    }

    /// Lets `unit` ignore its stop signal: a stop of it lasts until it is killed.
    pub fn harden(&self, unit: &UnitName) {
        if let Some(known) = self.lock().get_mut(unit) {
            known.stubborn = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<UnitName, Unit>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, unit: &UnitName, outcome: ActiveState) {
        {
            let mut units = self.lock();
            match outcome {
                ActiveState::Inactive => drop(units.remove(unit)),
                ActiveState::Active
                | ActiveState::Activating
                | ActiveState::Deactivating
                | ActiveState::Failed => {
                    if let Some(known) = units.get_mut(unit) {
                        known.active = outcome;
                    }
                }
            }
        }
        self.notify(unit);
    }

    fn notify(&self, unit: &UnitName) {
        // No reader is no failure.
        drop(self.changes.send(Change::Unit(unit.clone())));
    }

    fn make(&self, name: &UnitName, limits: &Limits, spec: Option<ServiceSpec>) -> Result<(), UnitError> {
        {
            let mut units = self.lock();
            if units.get(name).is_some_and(|u| u.active != ActiveState::Failed) {
                return Err(UnitError::Exists {
                    verb: Verb::Start,
                    unit: name.to_string(),
                });
            }
            let unit = Unit {
                active: ActiveState::Active,
                spec,
                limits: limits.clone(),
                starts: 1,
                signals: Vec::new(),
                stubborn: false,
            };
            units.insert(name.clone(), unit);
        }
        self.notify(name);
        Ok(())
    }
}

impl UnitManager for MemoryUnits {
    async fn start_slice(&self, spec: &SliceSpec) -> Result<(), UnitError> {
        match self.make(spec.name.as_unit(), &spec.limits, None) {
            Err(UnitError::Exists { .. }) => Ok(()),
            other => other,
        }
    }

    async fn start_service(&self, spec: &ServiceSpec) -> Result<(), UnitError> {
        self.make(&spec.name, &spec.limits, Some(spec.clone()))
    }

    async fn set_limits(&self, unit: &UnitName, limits: &Limits) -> Result<(), UnitError> {
        let mut units = self.lock();
        let known = units.get_mut(unit).ok_or_else(|| UnitError::NotFound {
            verb: Verb::Limit,
            unit: unit.to_string(),
        })?;
        known.limits = limits.clone();
        Ok(())
    }

    async fn stop(&self, unit: &UnitName) -> Result<(), UnitError> {
        let known = self.lock().get(unit).map(|u| (u.active, u.stubborn));
        match known {
            None | Some((ActiveState::Failed, _)) => {}
            Some((_, false)) => self.settle(unit, ActiveState::Inactive),
            Some((_, true)) => {
                let mut changes = self.changes();
                self.settle(unit, ActiveState::Deactivating);
                let stopping = |u: &Unit| matches!(u.active, ActiveState::Active | ActiveState::Deactivating);
                while self.lock().get(unit).is_some_and(stopping) {
                    changes.next().await;
                }
            }
        }
        Ok(())
    }

    async fn kill(&self, unit: &UnitName, _who: KillWho, signal: i32) -> Result<(), UnitError> {
        {
            let mut units = self.lock();
            let known = units.get_mut(unit).ok_or_else(|| UnitError::NotFound {
                verb: Verb::Kill,
                unit: unit.to_string(),
            })?;
            known.signals.push(signal);
        }
        if signal == 9 {
            self.settle(unit, ActiveState::Failed);
        }
        Ok(())
    }

    async fn reset_failed(&self, unit: &UnitName) -> Result<(), UnitError> {
        if self
            .lock()
            .get(unit)
            .is_some_and(|u| u.active == ActiveState::Failed)
        {
            self.settle(unit, ActiveState::Inactive);
        }
        Ok(())
    }

    async fn list(&self, pattern: &str) -> Result<BTreeMap<UnitName, UnitState>, UnitError> {
        let state = |u: &Unit| UnitState {
            active: u.active,
            sub: String::new(),
        };
        let units = self.lock();
        Ok(units
            .iter()
            .filter(|(n, _)| matches(pattern, n.as_str()))
            .map(|(n, u)| (n.clone(), state(u)))
            .collect())
    }

    fn changes(&self) -> Changes {
        Changes::new(self.changes.subscribe())
    }
}

/// Whether `text` matches a glob in which `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len())
                .filter_map(|at| tail.get(at..))
                .any(|end| matches(rest, end))
        }),
    }
}
