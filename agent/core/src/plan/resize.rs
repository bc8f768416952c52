//! The steps of a resize.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Container;

use super::{Planner, stop};
use crate::observation::{ContainerFacts, Unit};
use crate::resize::{Reason, asks_for_more_or_less, needs_restart, resizable, too_small};
use crate::step::{Step, StopCause, StopMode};

/// Pause before memory that is in use is looked at again: nothing tells when it is given back.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

impl Planner<'_> {
    /// What brings the node's promise, and then the units, to the sizes that the spec asks for.
    pub(super) fn resizes(&self) -> Vec<Step> {
        let asks = asks_for_more_or_less(self.spec, &self.observed.resizing.allocated);
        let mut steps: Vec<Step> = (asks && !self.is_infeasible())
            .then_some(Step::AllocateResources)
            .into_iter()
            .collect();
        let behind = || resizable(self.spec).filter(|container| self.takes_sizes(container));
        let (restarted, in_place): (Vec<&Container>, Vec<&Container>) =
            behind().partition(|container| self.restarts_for_size(container));
        let restarts = restarted.into_iter().filter_map(|container| {
            let step = stop(container, self.grace(), StopMode::Remove, StopCause::Resize);
            self.stop_now(container, step)
        });
        steps.extend(restarts);
        if !in_place.is_empty() {
            steps.push(self.in_place(&in_place));
        }
        steps
    }

    /// Whether the node has said of this very spec that it can never hold it.
    fn is_infeasible(&self) -> bool {
        let pending = self.observed.resizing.pending.as_ref();
        pending.is_some_and(|pending| {
            pending.unfit.reason == Reason::Infeasible && pending.generation == self.pod.metadata.generation
        })
    }

    /// Whether `container` has a unit that stays and lacks what is promised.
    fn takes_sizes(&self, container: &Container) -> bool {
        let ContainerFacts { unit, stop, .. } = self.facts(container);
        let stays = matches!(unit, Unit::Running { .. } | Unit::Starting) && stop.is_none();
        stays && self.observed.resizing.is_behind(container)
    }

    /// One that waits for its back-off gets the new sizes with its next start anyway.
    fn restarts_for_size(&self, container: &Container) -> bool {
        let running = matches!(self.facts(container).unit, Unit::Running { .. });
        running && needs_restart(container, &self.observed.resizing)
    }

    fn in_place(&self, containers: &[&Container]) -> Step {
        if too_small(self.spec, self.observed).is_some() {
            let again = self.now.checked_add(LOOK_AGAIN);
            return Step::WaitUntil(again.unwrap_or(self.now));
        }
        let step = Step::ResizeContainers {
            containers: containers
                .iter()
                .map(|container| container.name.clone())
                .collect(),
        };
        match &self.observed.resizing.failure {
            Some(failure) => self.again(failure, step),
            None => step,
        }
    }
}
