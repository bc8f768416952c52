//! What holds for every plan.

use proptest::prelude::*;

use super::ephemeral::with_debugger;
use super::*;

/// A node on which every step works at once and every container runs until it is stopped.
pub(super) fn perform(step: &Step, observed: &mut Observation, pod: &Pod) {
    let hash = |name: &str| {
        let spec = pod.spec.as_ref().unwrap();
        every_container(spec)
            .find(|(_, c)| c.name == name)
            .map(|(_, c)| spec_hash(&c))
    };
    let finishes = |name: &str| name.starts_with('i');
    match step {
        Step::MountVolumes => observed.volumes = Volumes::Ready,
        Step::AllocateResources => {
            observed.resizing.allocated = crate::resize::allocation(pod.spec.as_ref().unwrap());
        }
        Step::ResizeContainers { containers } => {
            containers.iter().for_each(|name| take_sizes(observed, name));
        }
        Step::CreateSandbox => observed.sandbox = Sandbox::Ready { pod_ips: vec![] },
        Step::EnsureImage { container } => {
            observed.containers.entry(container.clone()).or_default().image = present().image;
        }
        Step::StartContainer { container } => {
            take_sizes(observed, container);
            let facts = if finishes(container) {
                ContainerFacts {
                    unit_failed: true,
                    ..ended(Outcome::Exited(0))
                }
            } else {
                running()
            };
            let facts = ContainerFacts {
                bundle_hash: hash(container),
                ..facts
            };
            observed.containers.insert(container.clone(), facts);
        }
        Step::StopContainer { container, .. } | Step::KillContainer { container } => {
            let comes_back = matches!(
                step,
                Step::StopContainer {
                    cause: StopCause::Resize,
                    ..
                }
            );
            let facts = ContainerFacts {
                comes_back,
                ..ended(Outcome::Exited(0))
            };
            observed.containers.insert(container.clone(), facts);
        }
        Step::ForgetFailure { container } => {
            observed.containers.get_mut(container).unwrap().unit_failed = false;
        }
        Step::FreeSandbox => {
            observed.sandbox = Sandbox::Freed;
            observed.volumes = Volumes::Absent;
        }
        Step::DeleteObject => observed.object = ObjectState::Gone,
        Step::RemoveFiles | Step::WaitUntil(_) => {}
    }
}

fn take_sizes(observed: &mut Observation, name: &str) {
    if let Some(promised) = observed.resizing.allocated.get(name).cloned() {
        observed.resizing.applied.insert(name.to_owned(), promised);
    }
}

/// No container without sandbox and volumes, and no main container before the init containers ended.
fn holds(observed: &Observation, pod: &Pod) -> bool {
    let spec = pod.spec.as_ref().unwrap();
    let live = |role: Role| {
        every_container(spec).any(|(r, c)| r == role && observed.container(&c.name).unit.is_live())
    };
    let founded = matches!(observed.sandbox, Sandbox::Ready { .. }) && observed.volumes == Volumes::Ready;
    let any = live(Role::Init) || live(Role::Sidecar) || live(Role::Main) || live(Role::Ephemeral);
    let init_done = containers(spec)
        .filter(|(role, _)| *role == Role::Init)
        .all(|(_, c)| last_succeeded(&observed.container(&c.name)));
    (founded || !any) && (init_done || !live(Role::Main))
}

fn settle(pod: &Pod, observed: &mut Observation) -> Result<(), String> {
    for _ in 0..50 {
        let steps = plan(pod, observed, at(0));
        let doable: Vec<&Step> = steps
            .iter()
            .filter(|step| !matches!(step, Step::WaitUntil(_) | Step::RemoveFiles))
            .collect();
        if doable.is_empty() {
            return Ok(());
        }
        for step in doable {
            perform(step, observed, pod);
            if !holds(observed, pod) {
                return Err(format!("broken after {step}"));
            }
        }
    }
    Err("the plan never ends".to_owned())
}

proptest! {
    #[test]
    fn an_applied_plan_leaves_nothing_to_plan_and_no_prefix_breaks_an_invariant(
        init in 0_usize..4, sidecars in 0_usize..3, main in 1_usize..4, delete in any::<bool>(),
        sizes in prop::collection::vec((1_u64..4, 1_u64..4, any::<bool>()), 0..4),
        debuggers in prop::collection::vec(prop::option::of(Just("m0")), 0..3),
        policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
    ) {
        let names = |letter: char, n: usize| (0..n).map(|k| format!("{letter}{k}")).collect::<Vec<_>>();
        let (init, main) = (names('i', init), names('m', main));
        let init: Vec<&str> = init.iter().map(String::as_str).collect();
        let main: Vec<&str> = main.iter().map(String::as_str).collect();
        let mut pod = pod(policy, &init, &main);
        for k in 0..sidecars {
            pod = with_sidecar(pod, &format!("s{k}"));
        }
        for (k, target) in debuggers.into_iter().enumerate() {
            pod = with_debugger(pod, &format!("d{k}"), target);
        }
        let mut observed = Observation::new(at(0));
        observed.resizing.allocated = crate::resize::allocation(pod.spec.as_ref().unwrap());
        prop_assert_eq!(settle(&pod, &mut observed), Ok(()));
        let spec = pod.spec.as_mut().unwrap();
        for (container, (cpu, memory, restart)) in spec.containers.iter_mut().zip(sizes) {
            *container = resize::sized(&container.name, cpu, memory, restart);
        }
        prop_assert_eq!(settle(&pod, &mut observed), Ok(()));
        let over = is_finished(pod.spec.as_ref().unwrap(), &observed);
        let has_its_size = |c: &Container| {
            c.resources.is_none() || Some(observed.resizing.applied(c)) == c.resources
        };
        let all = crate::resize::resizable(pod.spec.as_ref().unwrap()).all(has_its_size);
        prop_assert!(over || all);
        if delete {
            let pod = deleted(pod);
            observed.termination_seen = Some(at(0));
            prop_assert_eq!(settle(&pod, &mut observed), Ok(()));
            prop_assert_eq!(observed.object, ObjectState::Gone);
        }
    }
}
