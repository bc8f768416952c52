//! The container's process.

use agent_core::env::expand;
use oci_spec::runtime::{
    Capabilities, LinuxCapabilities, LinuxCapabilitiesBuilder, Process, ProcessBuilder, UserBuilder,
};

use super::security::Security;
use super::{BundleError, ContainerInput};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn process(
    input: &ContainerInput<'_>,
    security: &Security<'_>,
    capabilities: &Capabilities,
) -> Result<Process, BundleError> {
    let env = environment(input);
    let image = input.image.config.config().as_ref();
    let image_dir = image.and_then(|c| c.working_dir().as_deref());
    let dir = input
        .container
        .working_dir
        .as_deref()
        .filter(|d| !d.is_empty())
        .or(image_dir);
    Ok(ProcessBuilder::default()
        .terminal(input.container.tty.unwrap_or(false))
        // The numbers are filled in at each start, from the image's files.
        .user(UserBuilder::default().uid(0_u32).gid(0_u32).build()?)
        .args(arguments(input)?)
        .env(
            env.iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>(),
        )
        .cwd(dir.filter(|d| !d.is_empty()).unwrap_or("/"))
        .capabilities(sets(capabilities)?)
        .no_new_privileges(security.no_new_privileges())
        .build()?)
}

fn sets(capabilities: &Capabilities) -> Result<LinuxCapabilities, BundleError> {
    Ok(LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities.clone())
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()?)
}

/// `command` and `args` over the image's entrypoint and command, as Kubernetes' table has it: a
/// `command` makes the image's command void. `$(NAME)` is replaced in the pod's part alone.
fn arguments(input: &ContainerInput<'_>) -> Result<Vec<String>, BundleError> {
    let image = input.image.config.config().as_ref();
    let of_image = |list: Option<&Vec<String>>| list.cloned().unwrap_or_default();
    let entrypoint = of_image(image.and_then(|c| c.entrypoint().as_ref()));
    let cmd = of_image(image.and_then(|c| c.cmd().as_ref()));
    let look_up = |name: &str| {
        input
            .env
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.clone())
    };
    let of_pod = |list: &Option<Vec<String>>| -> Vec<String> {
        list.iter().flatten().map(|text| expand(text, look_up)).collect()
    };
    let (command, args) = (of_pod(&input.container.command), of_pod(&input.container.args));
    let line: Vec<String> = match (command.is_empty(), args.is_empty()) {
        (false, _) => command.into_iter().chain(args).collect(),
        (true, false) => entrypoint.into_iter().chain(args).collect(),
        (true, true) => entrypoint.into_iter().chain(cmd).collect(),
    };
    if line.is_empty() {
        Err(BundleError::NoCommand(input.image.reference.clone()))
    } else {
        Ok(line)
    }
}

/// `PATH` and `HOSTNAME`, on a terminal `TERM`, then the image's variables, then the pod's; a later one of a name takes the
/// place of an earlier one.
fn environment(input: &ContainerInput<'_>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| match all.iter_mut().find(|(n, _)| n == name) {
        Some((_, old)) => value.clone_into(old),
        None => all.push((name.to_owned(), value.to_owned())),
    };
    set("PATH", DEFAULT_PATH);
    set("HOSTNAME", &input.sandbox.hostname);
    if input.container.tty.unwrap_or(false) {
        set("TERM", "xterm");
    }
    let image = input
        .image
        .config
        .config()
        .as_ref()
        .and_then(|c| c.env().as_ref());
    for (name, value) in image
        .into_iter()
        .flatten()
        .filter_map(|line| line.split_once('='))
    {
        set(name, value);
    }
    for (name, value) in &input.env {
        set(name, value);
    }
    all
}
