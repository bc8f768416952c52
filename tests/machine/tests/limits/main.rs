//! Limits, in a virtual machine: its kernel has cgroup v2, which the machines of this host lack.

use std::path::Path;
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
    (
        "a_resize_moves_the_kernels_limits_and_takes_no_memory_that_is_in_use",
        resized,
    ),
    ("the_node_says_that_limits_are_enforced", node_condition),
    ("kernel_parameters_are_the_pods_own", sysctls),
    ("a_newer_systemd_grants_a_longer_grace_too", longer_grace),
    // The last one, since nothing is left after it.
    ("a_host_that_was_a_node_is_given_back_untouched", host_given_back),
];

/// Where the programs lie, as a build leaves them: beside each other.
const PROGRAMS: &str = "/opt/floe";

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

/// A virtual machine that is a node.
fn boot() -> Result<Vm> {
    let root = VM_ROOT
        .ensure(Path::new("/var/cache/floe"))
        .context("make the root file system")?;
    let scratch = tempfile::tempdir()?;
    let image = busybox_archive(scratch.path())?;
    let kubectl = std::env::var_os("FLOE_KUBECTL").context("FLOE_KUBECTL is not set; use tests/run")?;
    let mut files = vec![
        (image, "/root/busybox".to_owned()),
        (kubectl.into(), "/usr/bin/kubectl".to_owned()),
    ];
    let binaries = floe_binaries()?;
    for name in ["floe", "floe-controlplane", "floe-agent", "floe-run", "floe-cni"] {
        files.push((binaries.join(name), format!("{PROGRAMS}/{name}")));
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

/// The virtual machine itself becomes the node, as an operator makes it one.
fn start_node(vm: &Vm) -> Result<()> {
    vm.succeed("ip link set lo up && ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up")?;
    vm.succeed("ip address add 10.88.0.2/24 dev up0 && ip route add default via 10.88.0.1")?;
    vm.succeed("modprobe -a overlay bridge veth vxlan nf_tables")?;
    // Another runtime has been here: what it keeps beside ours stays.
    vm.succeed("mkdir -p /var/lib/cni/networks/other /var/lib/cni/results && echo x > /var/lib/cni/networks/other/10.9.0.2")?;
    vm.succeed(&format!("{{ {TRACES}; }} > /root/before"))?;
    let said = vm.succeed(&format!("{PROGRAMS}/floe up --on-host --no-demo"))?;
    ensure!(said.contains("is up in"), "{said}");
    vm.succeed(&format!("{PROGRAMS}/floe image load /root/busybox"))?;
    Ok(())
}

/// What a node could leave on its host.
const TRACES: &str = "ip -brief link; ip route; ip -brief address show dev lo; nft list ruleset; \
    cut -d' ' -f5 /proc/self/mountinfo | sort; ls /run/netns /run/systemd/system 2>/dev/null; \
    find /etc /var/lib/floe /var/lib/cni /run/floe -xdev 2>/dev/null | sort; \
    systemctl list-units --all --plain --no-legend 'floe*'; pgrep -l 'floe|crun'; \
    sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.bridge.bridge-nf-call-iptables 2>&1; lsmod | grep -c br_netfilter; true";

fn host_given_back(vm: &Vm) -> Result<()> {
    apply(vm, "left", "memory: 64Mi", "sleep 3600")?;
    vm.wait_until_succeeds(&format!(
        "{KUBECTL} wait --for=condition=Ready pod/left --timeout=30s"
    ))?;
    let again = vm.succeed(&format!("{PROGRAMS}/floe up --on-host --no-demo"))?;
    ensure!(again.contains("nothing was changed"), "{again}");
    let second = vm.fail(&format!("{PROGRAMS}/floe --name second up --on-host --no-demo"))?;
    ensure!(second.contains("it is a node already"), "{second}");
    vm.succeed(&format!(
        "{PROGRAMS}/floe --name second down && {PROGRAMS}/floe down"
    ))?;
    vm.wait_until_succeeds(&format!(
        "{{ {TRACES}; }} > /root/after; diff /root/before /root/after"
    ))
    .context("the host is not as it was")
    .map(drop)
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
        "{KUBECTL} wait --for=condition=Ready pod/bounded --timeout=30s"
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
        "{KUBECTL} wait --for=condition=Ready pod/tasks --timeout=30s"
    ))?;
    vm.succeed("systemctl set-property --runtime 'floe-default:tasks:'*':main.service' TasksMax=5 2>/dev/null || for u in $(systemctl list-units --plain --no-legend 'floe-default:tasks:*:main.service' | cut -d' ' -f1); do systemctl set-property --runtime $u TasksMax=5; done")?;
    // What could be started lets go of the output, so that the shell's own end is the command's.
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 60 >/dev/null 2>&1 & done; wait";
    let said = vm.fail(&format!("timeout 240 {KUBECTL} exec tasks -- sh -c '{script}'"))?;
    ensure!(said.contains("fork"), "{said}");
    Ok(())
}

/// Machines of the other tests may not write parameters of the IPC namespace: their `/proc/sys` is read-only.
fn sysctls(vm: &Vm) -> Result<()> {
    let file = "/proc/sys/kernel/shm_rmid_forced";
    let manifest = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: tuned}}, spec: {{restartPolicy: Never, \
         securityContext: {{sysctls: [{{name: kernel.shm_rmid_forced, value: \"1\"}}]}}, \
         containers: [{{name: main, image: '{BUSYBOX}', command: [cat, {file}]}}]}}}}"
    );
    vm.succeed(&format!(
        "cat > /tmp/tuned.yaml <<'END'\n{manifest}\nEND\n{KUBECTL} apply --server-side=false -f /tmp/tuned.yaml"
    ))?;
    vm.wait_until_succeeds(&format!("{KUBECTL} logs tuned | grep -qx 1"))?;
    ensure!(
        vm.succeed(&format!("cat {file}"))?.trim() == "0",
        "the node's own changed"
    );
    Ok(())
}

/// Patches the limit of memory of pod `held`.
fn resize(vm: &Vm, memory: &str) -> Result<()> {
    let patch = format!(
        r#"{{"spec":{{"containers":[{{"name":"main","resources":{{"limits":{{"memory":"{memory}"}},"requests":{{"memory":"{memory}"}}}}}}]}}}}"#
    );
    vm.succeed(&format!(
        "{KUBECTL} patch pod held --subresource resize -p '{patch}'"
    ))
    .map(drop)
}

fn resized(vm: &Vm) -> Result<()> {
    let script = "dd if=/dev/zero of=/dev/shm/held bs=1M count=40 && sleep 3600";
    apply(vm, "held", "memory: 64Mi", script)?;
    vm.wait_until_succeeds(&format!(
        "{KUBECTL} exec held -- sh -c \"du -m /dev/shm/held | grep -q ^40\""
    ))?;
    let folder = cgroup(vm, "held")?;
    let has = |bytes: u32| format!("test $(cat {folder}/memory.max) = {bytes}");
    resize(vm, "128Mi")?;
    vm.wait_until_succeeds(&has(128 << 20))?;
    resize(vm, "16Mi")?;
    let condition = "{.status.conditions[?(@.type==\"PodResizeInProgress\")].message}";
    vm.wait_until_succeeds(&format!(
        "{KUBECTL} get pod held -o jsonpath='{condition}' | grep 'memory limit (16777216) below current usage'"
    ))?;
    vm.succeed(&has(128 << 20))?;
    vm.succeed(&format!("{KUBECTL} exec held -- rm /dev/shm/held"))?;
    vm.wait_until_succeeds(&has(16 << 20))?;
    vm.wait_until_succeeds(&format!(
        "test -z \"$({KUBECTL} get pod held -o jsonpath='{condition}')\""
    ))?;
    let restarts = "{.status.containerStatuses[0].restartCount}";
    vm.succeed(&format!(
        "test $({KUBECTL} get pod held -o jsonpath='{restarts}') = 0"
    ))?;
    Ok(())
}

fn longer_grace(vm: &Vm) -> Result<()> {
    let script = "trap \"sleep 40; echo done; exit 0\" TERM; echo ready; while :; do sleep 0.2; done";
    let manifest = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: slow}}, spec: {{terminationGracePeriodSeconds: 20, \
         containers: [{{name: main, image: '{BUSYBOX}', command: [/bin/sh, -c, '{script}']}}]}}}}"
    );
    vm.succeed(&format!(
        "cat > /tmp/slow.yaml <<'END'\n{manifest}\nEND\n{KUBECTL} apply --server-side=false -f /tmp/slow.yaml"
    ))?;
    vm.wait_until_succeeds(&format!("{KUBECTL} logs slow | grep -qx ready"))?;
    vm.succeed(&format!("{KUBECTL} delete pod slow --grace-period=400"))?;
    let said = vm.succeed("journalctl --no-pager -o cat FLOE_POD=slow")?;
    ensure!(said.contains("done"), "killed before its time: {said}");
    Ok(())
}

fn node_condition(vm: &Vm) -> Result<()> {
    let conditions = vm.succeed(&format!(
        "{KUBECTL} get nodes -o jsonpath='{{.items[*].status.conditions}}'"
    ))?;
    ensure!(!conditions.contains("CgroupV1"), "{conditions}");
    Ok(())
}
