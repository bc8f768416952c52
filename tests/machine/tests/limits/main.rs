//! Limits, in a virtual machine: its kernel has cgroup v2, which the machines of this host lack.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use tests_harness::{BUSYBOX, Node, VM_ROOT, Vm, VmSpec, busybox_archive, floe_binaries};

type VmTest = (&'static str, fn(&Vm) -> Result<()>);

const TESTS: &[VmTest] = &[
    (
        "limits_of_a_container_are_enforced_by_its_unit",
        limits_are_enforced,
    ),
    ("a_container_killed_for_memory_is_oom_killed", oom_killed),
    ("more_tasks_than_the_limit_are_refused", tasks_are_limited),
    ("the_node_says_that_limits_are_enforced", node_condition),
];

const KUBECTL: &str = "kubectl --kubeconfig /var/lib/floe/controlplane/kubeconfig/admin.kubeconfig";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            report(&err);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a test program has no other way to say why it did not start"
)]
fn report(err: &anyhow::Error) {
    eprintln!("the virtual machine of these tests does not run: {err:#}");
}

fn run() -> Result<bool> {
    let arguments = Arguments::from_args();
    if arguments.list || std::env::var_os("FLOE_MACHINE_TESTS").is_none() {
        let ignored = |(claim, _): &VmTest| Trial::test(*claim, || Ok(())).with_ignored_flag(true);
        return Ok(!libtest_mimic::run(&arguments, TESTS.iter().map(ignored).collect()).has_failed());
    }
    let vm = Arc::new(boot()?);
    let trial = |(claim, test): &VmTest| {
        let (vm, test) = (Arc::clone(&vm), *test);
        Trial::test(*claim, move || {
            test(&vm).map_err(|err| Failed::from(format!("{err:#}")))
        })
    };
    let arguments = Arguments {
        test_threads: Some(1),
        ..arguments
    };
    Ok(!libtest_mimic::run(&arguments, TESTS.iter().map(trial).collect()).has_failed())
}

/// A node in a virtual machine: the same units and programs that a package installs.
fn boot() -> Result<Vm> {
    let root = VM_ROOT
        .ensure(Path::new("/var/cache/floe"))
        .context("make the root file system")?;
    let scratch = tempfile::tempdir()?;
    let image = busybox_archive(scratch.path())?;
    let kubectl = std::env::var_os("FLOE_KUBECTL").context("FLOE_KUBECTL is not set; use tests/run")?;
    let mut files = config(scratch.path())?;
    files.extend([
        (image, "/root/busybox".to_owned()),
        (kubectl.into(), "/usr/bin/kubectl".to_owned()),
    ]);
    let binaries = floe_binaries()?;
    for name in ["floe-controlplane", "floe-agent", "floe-run", "floe-cni"] {
        files.push((binaries.join(name), format!("/usr/bin/{name}")));
    }
    let units = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../systemd"));
    for name in ["floe-controlplane", "floe-agent", "floe-mounts"] {
        let unit = format!("{name}.service");
        files.push((units.join(&unit), format!("/usr/lib/systemd/system/{unit}")));
    }
    let vm = Vm::boot(
        "limits",
        &VmSpec {
            root: root.path,
            files,
            enable: Vec::new(),
            memory: 2048,
        },
    )?;
    start_node(&vm).with_context(|| format!("start the node; its console: {}", vm.console()))?;
    Ok(vm)
}

fn config(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let texts = [
        ("bootstrap-token", "abcdef.0123456789abcdef\n"),
        (
            "controlplane.toml",
            "advertise_address = \"10.88.0.2\"\nbootstrap_token_file = \"/etc/floe/bootstrap-token\"\n",
        ),
        (
            "agent.toml",
            "node_name = \"limits\"\nnode_ip = \"10.88.0.2\"\nserver = \"https://10.88.0.2:6443\"\n\
             ca_file = \"/var/lib/floe/controlplane/pki/ca/ca.crt\"\n\
             bootstrap_token_file = \"/etc/floe/bootstrap-token\"\n",
        ),
    ];
    let mut files = Vec::new();
    for (name, text) in texts {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        std::process::Command::new("chmod")
            .arg("600")
            .arg(&path)
            .status()?;
        files.push((path, format!("/etc/floe/{name}")));
    }
    Ok(files)
}

fn start_node(vm: &Vm) -> Result<()> {
    vm.succeed("ip link set lo up && ip address add 10.88.0.2/32 dev lo")?;
    vm.succeed("modprobe -a overlay bridge veth nf_tables br_netfilter")?;
    vm.succeed("mkdir -p /usr/lib/floe/cni && for name in bridge host-local loopback; do ln -s /usr/bin/floe-cni /usr/lib/floe/cni/$name; done")?;
    vm.succeed("systemctl start floe-controlplane.service floe-agent.service")?;
    vm.succeed("floe-agent image load /root/busybox")?;
    vm.wait_until_succeeds(&format!(
        "{KUBECTL} wait --for=condition=Ready node/limits --timeout=60s"
    ))?;
    Ok(())
}

fn apply(vm: &Vm, name: &str, limits: &str, script: &str) -> Result<()> {
    let manifest = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{restartPolicy: Never, \
         containers: [{{name: main, image: '{BUSYBOX}', resources: {{limits: {{{limits}}}}}, \
         command: [/bin/sh, -c, '{script}']}}]}}}}"
    );
    vm.succeed(&format!("cat > /tmp/{name}.yaml <<'END'\n{manifest}\nEND\n{KUBECTL} apply --server-side=false -f /tmp/{name}.yaml"))?;
    Ok(())
}

/// The folder of the container's unit in the kernel's own tree.
fn cgroup(vm: &Vm, name: &str) -> Result<String> {
    let show = format!(
        "systemctl show --value -p ControlGroup $(systemctl list-units --plain --no-legend 'floe-default:{name}:*:main.service' | cut -d' ' -f1)"
    );
    Ok(format!("/sys/fs/cgroup{}", vm.succeed(&show)?.trim()))
}

fn limits_are_enforced(vm: &Vm) -> Result<()> {
    apply(vm, "bounded", "memory: 64Mi, cpu: 250m", "sleep 3600")?;
    vm.wait_until_succeeds(&format!(
        "{KUBECTL} wait --for=condition=Ready pod/bounded --timeout=60s"
    ))?;
    let folder = cgroup(vm, "bounded")?;
    ensure!(
        vm.succeed(&format!("cat {folder}/memory.max"))?.trim() == "67108864",
        "memory.max"
    );
    ensure!(
        vm.succeed(&format!("cat {folder}/cpu.max"))?.trim() == "25000 100000",
        "cpu.max"
    );
    let shown = vm
        .succeed("systemctl show -p MemoryMax -p CPUQuotaPerSecUSec 'floe-default:bounded:*:main.service'")?;
    ensure!(
        shown.contains("MemoryMax=67108864") && shown.contains("CPUQuotaPerSecUSec=250ms"),
        "{shown}"
    );
    Ok(())
}

fn oom_killed(vm: &Vm) -> Result<()> {
    apply(vm, "hungry", "memory: 16Mi", "tail /dev/zero")?;
    let reason = "{.status.containerStatuses[0].state.terminated.reason}";
    vm.wait_until_succeeds(&format!(
        "{KUBECTL} get pod hungry -o jsonpath='{reason}' | grep -qx OOMKilled"
    ))?;
    Ok(())
}

fn tasks_are_limited(vm: &Vm) -> Result<()> {
    apply(vm, "tasks", "memory: 64Mi", "sleep 3600")?;
    vm.wait_until_succeeds(&format!(
        "{KUBECTL} wait --for=condition=Ready pod/tasks --timeout=60s"
    ))?;
    vm.succeed("systemctl set-property --runtime 'floe-default:tasks:'*':main.service' TasksMax=5 2>/dev/null || for u in $(systemctl list-units --plain --no-legend 'floe-default:tasks:*:main.service' | cut -d' ' -f1); do systemctl set-property --runtime $u TasksMax=5; done")?;
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; wait";
    let said = vm.fail(&format!("timeout 20 {KUBECTL} exec tasks -- sh -c '{script}'"))?;
    ensure!(said.contains("fork"), "{said}");
    Ok(())
}

fn node_condition(vm: &Vm) -> Result<()> {
    let conditions = vm.succeed(&format!(
        "{KUBECTL} get node limits -o jsonpath='{{.status.conditions}}'"
    ))?;
    ensure!(!conditions.contains("CgroupV1"), "{conditions}");
    Ok(())
}
