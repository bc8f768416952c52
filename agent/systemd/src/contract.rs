//! What every [`UnitManager`] must do. The in-memory one runs it as a unit test, systemd itself in
//! the machine tests.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a suite of assertions, compiled for tests alone"
)]

use std::time::Duration;

use crate::{
    ActiveState, Change, Exec, KillWho, Limits, ServiceSpec, SliceName, SliceSpec, UnitError, UnitManager,
    UnitName,
};

/// Longest wait for a state that must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the whole suite. `tag` keeps its units apart from others'.
///
/// # Panics
///
/// Where a claim does not hold.
pub async fn run(units: &impl UnitManager, tag: &str) {
    let slice = SliceSpec {
        name: SliceName::parse(&format!("floe-contract_{tag}.slice")).expect("a valid name"),
        description: "contract suite".into(),
        limits: Limits {
            tasks_max: Some(50),
            memory_max: Some(64 << 20),
            ..Limits::default()
        },
    };
    starting_a_slice_twice_is_harmless(units, &slice).await;
    let service = service(&slice.name, tag);
    a_started_service_is_listed_and_announced(units, &service).await;
    a_second_start_says_it_exists(units, &service).await;
    limits_are_replaced_while_a_unit_runs(units, &service, &slice).await;
    a_stopped_service_is_gone_and_stopping_again_is_harmless(units, &service).await;
    a_failed_service_can_be_made_anew(units, &service).await;
    a_failed_service_is_forgotten_on_request(units, &service).await;
    absent_units_are_no_trouble(units).await;
    units.stop(slice.name.as_unit()).await.expect("stop the slice");
}

fn service(slice: &SliceName, tag: &str) -> ServiceSpec {
    let name = UnitName::parse(&format!("floe-contract:{tag}.service")).expect("a valid name");
    ServiceSpec::new(name, slice.clone(), Exec::new("/bin/sleep", ["1000"]))
}

async fn starting_a_slice_twice_is_harmless(units: &impl UnitManager, slice: &SliceSpec) {
    units.start_slice(slice).await.expect("start the slice");
    units.start_slice(slice).await.expect("start the slice again");
    wait_for(units, slice.name.as_unit(), Some(ActiveState::Active)).await;
}

async fn a_started_service_is_listed_and_announced(units: &impl UnitManager, spec: &ServiceSpec) {
    let mut changes = units.changes();
    units.start_service(spec).await.expect("start the service");
    wait_for(units, &spec.name, Some(ActiveState::Active)).await;
    let announced = async {
        loop {
            match changes.next().await.expect("a manager that lives") {
                Change::Unit(unit) if unit == spec.name => return,
                Change::Unit(_) => {}
                Change::All => return,
            }
        }
    };
    tokio::time::timeout(PATIENCE, announced)
        .await
        .expect("a notice of the change");
}

async fn a_second_start_says_it_exists(units: &impl UnitManager, spec: &ServiceSpec) {
    let again = units.start_service(spec).await;
    assert!(matches!(again, Err(UnitError::Exists { .. })), "{again:?}");
}

async fn limits_are_replaced_while_a_unit_runs(
    units: &impl UnitManager,
    spec: &ServiceSpec,
    slice: &SliceSpec,
) {
    let limits = Limits {
        memory_max: Some(32 << 20),
        cpu_quota_per_sec: Some(Duration::from_millis(250)),
        cpu_weight: Some(20),
        ..Limits::default()
    };
    for unit in [&spec.name, slice.name.as_unit()] {
        units.set_limits(unit, &limits).await.expect("set limits");
        units
            .set_limits(unit, &Limits::default())
            .await
            .expect("lift them");
    }
    wait_for(units, &spec.name, Some(ActiveState::Active)).await;
}

async fn a_stopped_service_is_gone_and_stopping_again_is_harmless(
    units: &impl UnitManager,
    spec: &ServiceSpec,
) {
    units.stop(&spec.name).await.expect("stop the service");
    wait_for(units, &spec.name, None).await;
    units.stop(&spec.name).await.expect("stop what is gone");
}

async fn a_failed_service_can_be_made_anew(units: &impl UnitManager, spec: &ServiceSpec) {
    units.start_service(spec).await.expect("start the service");
    units.kill(&spec.name, KillWho::Main, 9).await.expect("kill it");
    wait_for(units, &spec.name, Some(ActiveState::Failed)).await;
    units.start_service(spec).await.expect("make it anew");
    wait_for(units, &spec.name, Some(ActiveState::Active)).await;
    units.stop(&spec.name).await.expect("stop the service");
}

async fn a_failed_service_is_forgotten_on_request(units: &impl UnitManager, spec: &ServiceSpec) {
    units.start_service(spec).await.expect("start the service");
    units.kill(&spec.name, KillWho::Main, 9).await.expect("kill it");
    wait_for(units, &spec.name, Some(ActiveState::Failed)).await;
    units.reset_failed(&spec.name).await.expect("forget it");
    wait_for(units, &spec.name, None).await;
    units.reset_failed(&spec.name).await.expect("forget it again");
}

async fn absent_units_are_no_trouble(units: &impl UnitManager) {
    let absent = UnitName::parse("floe-contract:absent.service").expect("a valid name");
    units.stop(&absent).await.expect("stop what never was");
    units.reset_failed(&absent).await.expect("reset what never was");
    let killed = units.kill(&absent, KillWho::All, 15).await;
    assert!(matches!(killed, Err(UnitError::NotFound { .. })), "{killed:?}");
    let limited = units.set_limits(&absent, &Limits::default()).await;
    assert!(matches!(limited, Err(UnitError::NotFound { .. })), "{limited:?}");
}

/// Waits until `unit` is in `state`; `None` is absent or inactive.
async fn wait_for(units: &impl UnitManager, unit: &UnitName, state: Option<ActiveState>) {
    let reached = async {
        loop {
            let now = units
                .list(unit.as_str())
                .await
                .expect("a list")
                .remove(unit)
                .map(|s| s.active);
            if now.filter(|s| *s != ActiveState::Inactive) == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .unwrap_or_else(|_| panic!("{unit} never became {state:?}"));
}

#[cfg(test)]
#[tokio::test]
async fn memory_units_keep_the_contract() {
    run(&crate::MemoryUnits::default(), "memory").await;
}
