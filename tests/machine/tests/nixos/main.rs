//! The NixOS tests of `tests/vm`, on virtual machines of Debian: what a module rendered is laid over the machine as
//! NixOS would, and the test's script is played on it. Units, drop-ins, settings and kernel modules are the module's;
//! the programs are those that were built here.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use tests_harness::{Script, VM_ROOT, Vm, VmSpec, floe_binaries};

/// The address that the NixOS test driver gives its first machine.
const NETWORK: &str = "[Unit]\nDescription=The test driver's network\nDefaultDependencies=no\nBefore=network.target \
    floe-agent.service\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'ip link set lo up && ip link \
    add eth1 type veth peer name eth1-peer && ip link set eth1 up && ip link set eth1-peer up && ip address add \
    192.168.1.1/24 dev eth1 && ip route add default via 192.168.1.254'\n";

fn main() -> ExitCode {
    let arguments = Arguments {
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    let wanted = std::env::var_os("FLOE_MACHINE_TESTS").is_some() && !arguments.list;
    let trial = |name: String| {
        Trial::test(format!("vm_{name}"), move || {
            run(&name).map_err(|err| Failed::from(format!("{err:#}")))
        })
        .with_ignored_flag(!wanted)
    };
    // No file is a test that was lost, not one that passed.
    let names = match names() {
        Ok(names) if !names.is_empty() => names,
        _ => vec!["<none is in tests/vm>".to_owned()],
    };
    libtest_mimic::run(&arguments, names.into_iter().map(trial).collect()).exit_code()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of `tests/vm`.
fn names() -> Result<Vec<String>> {
    let entries = std::fs::read_dir(repository().join("tests/vm"))?;
    let files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    let nix = files
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "nix"));
    let mut names: Vec<String> = nix
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn run(name: &str) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let build = scratch.path().join("build");
    let done = Command::new(repository().join("tests/nix/run"))
        .args(["test", name])
        .arg(&build)
        .output()
        .context("run tests/nix/run")?;
    ensure!(
        done.status.success(),
        "tests/nix/run test {name}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let test = PathBuf::from(std::fs::read_to_string(build.join("test"))?.trim());
    let script = Script::parse(&std::fs::read_to_string(test.join("test-script"))?)?;
    let mut nodes = std::fs::read_dir(test.join("nodes"))?.collect::<Result<Vec<_>, _>>()?;
    let node = nodes.pop().context("the test has no machine")?;
    ensure!(nodes.is_empty(), "tests of several machines do not run here yet");
    let vm = boot(
        &node.file_name().to_string_lossy(),
        &node.path(),
        &build,
        scratch.path(),
    )?;
    script
        .run(&vm)
        .with_context(|| format!("{name}; the machine's console: {}", vm.console()))
}

fn boot(name: &str, rendered: &Path, build: &Path, scratch: &Path) -> Result<Vm> {
    let root = VM_ROOT
        .ensure(Path::new("/var/cache/floe"))
        .context("make the root file system")?;
    let kubectl = std::env::var_os("FLOE_KUBECTL").context("FLOE_KUBECTL is not set; use tests/run")?;
    let mut files = vec![(PathBuf::from(kubectl), "/usr/bin/kubectl".to_owned())];
    let binaries = floe_binaries()?;
    for program in ["floe", "floe-controlplane", "floe-agent", "floe-run", "floe-cni"] {
        files.push((binaries.join(program), format!("/usr/bin/{program}")));
    }
    for path in std::fs::read_dir(build.join("closure"))? {
        let path = path?;
        files.push((
            path.path(),
            format!("/nix/store/{}", path.file_name().to_string_lossy()),
        ));
    }
    let network = scratch.join("test-network.service");
    std::fs::write(&network, NETWORK)?;
    files.push((network, "/usr/lib/systemd/system/test-network.service".to_owned()));
    files.extend(etc(rendered, scratch)?);
    Vm::boot(
        name,
        &VmSpec {
            root: root.path,
            files,
            enable: vec!["test-network.service".to_owned()],
            memory: 2048,
        },
    )
}

/// The files of a rendered `/etc`, each by itself, since Debian has its own beside them.
fn etc(rendered: &Path, scratch: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = BTreeMap::new();
    walk(&rendered.join("etc"), "/etc", &mut found)?;
    let modes = std::fs::read_to_string(rendered.join("modes"))?;
    for (index, line) in modes.lines().enumerate() {
        let (mode, target) = line.split_once(' ').context("read the modes")?;
        let own = scratch.join(format!("mode-{index}"));
        std::fs::write(&own, std::fs::read(rendered.join("etc").join(target))?)?;
        std::fs::set_permissions(
            &own,
            std::fs::Permissions::from_mode(u32::from_str_radix(mode, 8)?),
        )?;
        found.insert(format!("/etc/{target}"), own);
    }
    Ok(found.into_iter().map(|(inside, host)| (host, inside)).collect())
}

/// Links are kept as they are, but for the one that stands for the folder of units.
fn walk(folder: &Path, inside: &str, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().context("an entry has a name")?.to_string_lossy();
        let inside = format!("{inside}/{name}");
        let is_folder = path.symlink_metadata()?.is_dir() || inside == "/etc/systemd/system";
        if is_folder {
            walk(&path, &inside, found)?;
        } else {
            found.insert(inside, path);
        }
    }
    Ok(())
}
