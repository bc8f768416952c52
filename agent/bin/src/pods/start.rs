//! Starting one container: its image, environment and mounts made into a bundle and a unit.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agent_core::env::{NO_TOKENS, Sources, environment, expand};
use agent_core::{Failure, Role, spec_hash, target_of};
use agent_runtime::{ContainerInput, ImageFacts, Mount, Sandbox, bundle, process_namespace};
use agent_systemd::{ErrorClass, UnitManager};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::Context;
use super::operations::resolve_image;
use super::sandbox::{HOSTNAME, HOSTS, RESOLV};
use super::worker::Worker;
use crate::clock::now;
use crate::objects::Snapshot;
use crate::volumes::{self, Volume};
use crate::wake::Wake;

const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// All that a start needs to know.
pub(super) struct StartOrder {
    pub(super) container: Container,
    uid: String,
    pod: Arc<Pod>,
    role: Role,
    pod_ips: Vec<IpAddr>,
    netns: Option<PathBuf>,
    volumes: BTreeMap<String, Volume>,
    wake: Arc<Wake>,
}

impl<U: UnitManager + 'static> Worker<U> {
    pub(super) fn start_order(&self, container: Container) -> StartOrder {
        let spec = self.goal.pod.spec.as_ref();
        let mut all = spec.into_iter().flat_map(agent_core::every_container);
        let role = all
            .find(|(_, c)| c.name == container.name)
            .map_or(Role::Main, |(role, _)| role);
        let pod_ips = match &self.sandbox {
            agent_core::Sandbox::Ready { pod_ips } => pod_ips.clone(),
            agent_core::Sandbox::Absent | agent_core::Sandbox::Failed(_) | agent_core::Sandbox::Freed => {
                Vec::new()
            }
        };
        StartOrder {
            container,
            uid: self.uid.clone(),
            pod: Arc::new(self.promised_pod()),
            role,
            pod_ips,
            netns: self.netns.clone(),
            volumes: self.volume_map.clone(),
            wake: Arc::clone(&self.wake),
        }
    }
}

/// Starts the container and waits for its unit's job; a run that ended at once is in the records.
pub(super) async fn start<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    order: StartOrder,
) -> Result<(), Failure> {
    let image = image(context, &order).await?;
    let references = volumes::references(&order.pod);
    let objects = context.objects.get(&order.uid, &order.wake, &references).await;
    let services = context
        .objects
        .services(order.pod.metadata.namespace.as_deref().unwrap_or_default())
        .await;
    let (container, env) = resolved(context, &order, &objects, &services)?;
    let mounts = mounts(&order, &env)?;
    let dir = context.paths.pod_dir(&order.uid);
    let sandbox = Sandbox {
        // A name that the kernel does not take has kept the sandbox from being made.
        hostname: crate::dns::kernel_hostname(&order.pod, &context.config)
            .unwrap_or_else(|_| agent_core::dns::hostname(&order.pod)),
        netns: order.netns.clone(),
        hosts_file: Some(dir.join(HOSTS)),
        resolv_conf: Some(dir.join(RESOLV)),
        hostname_file: Some(dir.join(HOSTNAME)),
    };
    let hash = spec_hash(&order.container);
    let target_processes = target_processes(context, &order)?;
    let input = ContainerInput {
        pod: &order.pod,
        container: &container,
        role: order.role,
        image: &image,
        env,
        mounts,
        sandbox: &sandbox,
        target_processes,
        spec_hash: &hash,
        node_memory: context.node_memory,
    };
    let config_error = |error| {
        failure(
            "CreateContainerConfigError",
            format!("{:#}", anyhow::Error::from(error)),
        )
    };
    let bundle = bundle(&input, &context.paths).map_err(config_error)?;
    let create_error = |error: anyhow::Error| failure("CreateContainerError", format!("{error:#}"));
    bundle.write().map_err(|error| create_error(error.into()))?;
    match context.units.start_service(&bundle.service).await {
        Ok(()) => Ok(()),
        Err(error) => match error.class() {
            // The records and the unit tell the rest: it ran and ended, or was stopped on the way.
            ErrorClass::Failed | ErrorClass::Gone => Ok(()),
            ErrorClass::Retry | ErrorClass::Conflict | ErrorClass::Invalid => Err(failure(
                "RunContainerError",
                format!("{:#}", anyhow::Error::from(error)),
            )),
        },
    }
}

/// Where the processes are that an ephemeral container looks into. The plan starts it while they are there; they
/// may have ended since.
fn target_processes<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    order: &StartOrder,
) -> Result<Option<PathBuf>, Failure> {
    let spec = order.pod.spec.as_ref();
    let Some(target) = spec.and_then(|spec| target_of(spec, &order.container.name)) else {
        return Ok(None);
    };
    let unit = agent_runtime::unit_name(&order.pod, target);
    let found = unit
        .ok()
        .and_then(|unit| process_namespace(&context.paths, &order.uid, target, &unit));
    let gone = || {
        let message = format!("invalid target container: container {target} is not running");
        failure("CreateContainerError", message)
    };
    found.ok_or_else(gone).map(Some)
}

async fn image<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    order: &StartOrder,
) -> Result<ImageFacts, Failure> {
    let reference = order.container.image.clone().unwrap_or_default();
    match resolve_image(context, &reference).await {
        Ok(Some(image)) => Ok(ImageFacts {
            id: image.status_id().to_owned(),
            layers: image.layers,
            config: image.config,
            reference,
        }),
        Ok(None) => Err(failure(
            "CreateContainerError",
            format!("image \"{reference}\" has left the node's store"),
        )),
        Err(problem) => Err(failure("CreateContainerError", problem)),
    }
}

/// The container with its command and arguments expanded, and its environment.
fn resolved<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    order: &StartOrder,
    objects: &Snapshot,
    services: &[k8s_openapi::api::core::v1::Service],
) -> Result<(Container, Vec<(String, String)>), Failure> {
    let sources = Sources {
        pod: &order.pod,
        pod_ips: &order.pod_ips,
        host_ips: &[context.config.node_ip],
        allocatable: &context.allocatable,
        config_maps: &objects.config_maps,
        secrets: &objects.secrets,
        services,
        tokens: &NO_TOKENS,
    };
    let env = environment(&order.container, &sources)
        .map_err(|error| failure("CreateContainerConfigError", error.to_string()))?;
    let expanded = |words: &Option<Vec<String>>| {
        words.as_ref().map(|words| {
            words
                .iter()
                .map(|word| expand(word, |name| value_of(&env, name)))
                .collect()
        })
    };
    let mut container = order.container.clone();
    container.command = expanded(&order.container.command);
    container.args = expanded(&order.container.args);
    Ok((container, env))
}

fn mounts(order: &StartOrder, env: &[(String, String)]) -> Result<Vec<Mount>, Failure> {
    let mut mounts = Vec::new();
    for wish in order.container.volume_mounts.iter().flatten() {
        let Some(volume) = order.volumes.get(&wish.name) else {
            let message = format!(
                "container mounts volume \"{}\", which the pod does not have",
                wish.name
            );
            return Err(failure("CreateContainerConfigError", message));
        };
        let sub_path = sub_path(wish, env).map_err(|why| failure("CreateContainerConfigError", why))?;
        mounts.push(Mount {
            source: volume.source.clone(),
            destination: PathBuf::from(&wish.mount_path),
            read_only: volume.read_only || wish.read_only == Some(true),
            sub_path,
            propagation: wish.mount_propagation.clone(),
        });
    }
    Ok(mounts)
}

/// The part of the volume that `wish` asks for, its variables replaced; an error is the kubelet's text.
fn sub_path(wish: &VolumeMount, env: &[(String, String)]) -> Result<Option<PathBuf>, String> {
    let path = match wish.sub_path_expr.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => expanded_path(text, env)?,
        None => wish.sub_path.clone().unwrap_or_default(),
    };
    if path.starts_with('/') {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!(
            "unable to provision SubPath `{path}`: must not contain '..'"
        ));
    }
    Ok(Some(path).filter(|path| !path.is_empty()).map(PathBuf::from))
}

/// `text` with its variables replaced: here each has to be there, and to say something.
fn expanded_path(text: &str, env: &[(String, String)]) -> Result<String, String> {
    let missing = RefCell::new(BTreeSet::new());
    let path = expand(text, |name| {
        let value = value_of(env, name).filter(|value| !value.is_empty());
        if value.is_none() {
            missing.borrow_mut().insert(name.to_owned());
        }
        value
    });
    let missing: Vec<String> = missing.into_inner().into_iter().collect();
    match missing.is_empty() {
        true => Ok(path),
        false => Err(format!("missing value for {}", missing.join(", "))),
    }
}

fn value_of(env: &[(String, String)], name: &str) -> Option<String> {
    let found = env.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone())
}

fn failure(reason: &str, message: String) -> Failure {
    let failed_at = now();
    let retry_at = failed_at.checked_add(RETRY).unwrap_or(failed_at);
    Failure {
        reason: reason.to_owned(),
        message,
        failed_at,
        retry_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(expression: &str) -> Result<Option<PathBuf>, String> {
        let wish = VolumeMount {
            sub_path_expr: Some(expression.to_owned()),
            ..VolumeMount::default()
        };
        let env = [("POD", "web-0"), ("ROOT", "/tmp"), ("UP", ".."), ("NOTHING", "")];
        sub_path(
            &wish,
            &env.map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
    }

    #[test]
    fn a_sub_path_is_a_path_below_its_volume_with_its_variables_replaced() {
        assert_eq!(part("logs/$(POD)"), Ok(Some(PathBuf::from("logs/web-0"))));
        assert_eq!(part(""), Ok(None));
        let refused = |text: &str| part(text).unwrap_err();
        assert_eq!(
            refused("$(ROOT)"),
            "error SubPath `/tmp` must not be an absolute path"
        );
        assert_eq!(
            refused("a/$(UP)"),
            "unable to provision SubPath `a/..`: must not contain '..'"
        );
        assert_eq!(
            refused("$(NOTHING)/$(POD)/$(ABSENT)"),
            "missing value for ABSENT, NOTHING"
        );
    }
}
