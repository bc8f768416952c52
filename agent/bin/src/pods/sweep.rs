//! What pods left that neither the API nor a checkpoint knows: after a reboot, or after a process that was
//! killed between making a thing and writing it down.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_cni::Cni;
use agent_runtime::mounts;
use agent_systemd::{KillWho, UnitManager, UnitName};
use anyhow::Context as _;
use tracing::{info, warn};

use super::Context;
use crate::full_disk;

/// What a unit that nobody knows has to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// Length of a pod's UID.
const UID: usize = 36;

/// Where network namespaces are pinned.
const NETNS: &str = "/run/netns";

/// What is known, and therefore stays.
pub(super) struct Known {
    /// UIDs of pods.
    pub(super) uids: BTreeSet<String>,
    /// Names of their units.
    pub(super) units: BTreeSet<String>,
}

/// Takes away what is not in `known`: units before what they use. What cannot be taken away is logged, and
/// tried again by the next sweep. Returns whether nothing is left.
pub(super) async fn sweep<U: UnitManager>(context: &Context<U>, known: &Known) -> bool {
    let results = [
        ("units", units(&context.units, &known.units).await),
        ("files", files(context, &known.uids).await),
        ("addresses", addresses(context, &known.uids).await),
        ("network namespaces", namespaces(&known.uids)),
    ];
    for (what, error) in results
        .iter()
        .filter_map(|(what, result)| Some((what, result.as_ref().err()?)))
    {
        warn!(error = full_disk::chain(error), what, "left-overs not removed");
    }
    results.iter().all(|(_, result)| result.is_ok())
}

async fn units<U: UnitManager>(units: &U, known: &BTreeSet<String>) -> anyhow::Result<()> {
    let listed = units.list("floe-*:*:*.service").await?;
    let strange = listed.into_keys().filter(|unit| !known.contains(unit.as_str()));
    let ends = strange.map(|unit| async move { end(units, &unit).await });
    futures::future::join_all(ends).await.into_iter().collect()
}

async fn end<U: UnitManager>(units: &U, unit: &UnitName) -> anyhow::Result<()> {
    info!(unit = %unit, "left-over unit stopped");
    let mut stop = std::pin::pin!(units.stop(unit));
    match tokio::time::timeout(GRACE, &mut stop).await {
        Ok(stopped) => stopped?,
        Err(_) => {
            units.kill(unit, KillWho::All, 9).await?;
            tokio::time::timeout(GRACE, stop)
                .await
                .with_context(|| format!("{unit} outlives SIGKILL"))??;
        }
    }
    Ok(units.reset_failed(unit).await?)
}

async fn files<U>(context: &Context<U>, known: &BTreeSet<String>) -> anyhow::Result<()> {
    let paths = &context.paths;
    let folders = [paths.run_dir.join("pods"), paths.state_dir.join("pods")];
    let mut uids: BTreeSet<String> = folders.iter().flat_map(|dir| names(dir)).collect();
    // crun's folders are named `<uid>-<container>`.
    let states = names(&paths.crun_root());
    uids.extend(
        states
            .iter()
            .filter_map(|name| name.get(..UID))
            .map(str::to_owned),
    );
    let mut first = Ok(());
    for uid in uids.difference(known) {
        info!(pod_uid = uid, "left-over files removed");
        let removed = mounts::remove_pod(paths, uid).await;
        first = first.and(removed.map_err(anyhow::Error::from));
    }
    first
}

async fn addresses<U>(context: &Context<U>, known: &BTreeSet<String>) -> anyhow::Result<()> {
    let config = &context.config;
    Ok(Cni::load(&config.cni_conf_dir, &config.cni_bin_dir)?
        .gc(known)
        .await?)
}

fn namespaces(known: &BTreeSet<String>) -> anyhow::Result<()> {
    let mut first = Ok(());
    for path in strange_namespaces(&names(Path::new(NETNS)), known) {
        info!(path = %path.display(), "left-over network namespace removed");
        first = first.and(agent_cni::netns::remove(&path).map_err(anyhow::Error::from));
    }
    first
}

/// Our namespaces (`floe-<first 8 of the UID>-<pod>`) of pods that are not known.
fn strange_namespaces(names: &[String], known: &BTreeSet<String>) -> Vec<PathBuf> {
    let is_known = |part: &str| known.iter().any(|uid| uid.starts_with(part));
    let strange = |name: &&String| {
        let part = name.strip_prefix("floe-").and_then(|rest| rest.split('-').next());
        let part = part.filter(|part| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        part.is_some_and(|part| !is_known(part))
    };
    names
        .iter()
        .filter(strange)
        .map(|name| Path::new(NETNS).join(name))
        .collect()
}

/// The names in `dir`; none where it is absent.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_systemd::{Exec, MemoryUnits, ServiceSpec, SliceName};

    async fn begin(units: &MemoryUnits, name: &str) -> UnitName {
        let unit = UnitName::parse(name).unwrap();
        let slice = SliceName::parse("floe-pods.slice").unwrap();
        let spec = ServiceSpec::new(unit.clone(), slice, Exec::new("/bin/x", ["1"]));
        units.start_service(&spec).await.unwrap();
        unit
    }

    #[tokio::test]
    async fn units_of_pods_that_nobody_knows_are_ended_and_no_others() {
        let memory = MemoryUnits::default();
        let ours = begin(&memory, "floe-default:web:1a2b3c4d:c.service").await;
        begin(&memory, "floe-default:gone:11111111:c.service").await;
        begin(&memory, "floe-agent.service").await;
        let known = BTreeSet::from([ours.to_string()]);
        units(&memory, &known).await.unwrap();
        let left: Vec<String> = memory
            .list("*")
            .await
            .unwrap()
            .keys()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            left,
            ["floe-agent.service", "floe-default:web:1a2b3c4d:c.service"]
        );
    }

    #[test]
    fn only_namespaces_of_our_own_unknown_pods_are_strange() {
        let names = [
            "floe-1a2b3c4d-web",
            "floe-11111111-gone-0",
            "cni-22222222",
            "floe-test-unit-7",
        ];
        let known = BTreeSet::from(["1a2b3c4d-0000-4000-8000-000000000000".to_owned()]);
        let strange = strange_namespaces(&names.map(str::to_owned), &known);
        assert_eq!(strange, [Path::new("/run/netns/floe-11111111-gone-0")]);
    }
}
