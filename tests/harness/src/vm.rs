//! A virtual machine as a test node: QEMU without acceleration, a kernel of its own, cgroup v2.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use controlplane_machine::RootSpec;

use crate::command::succeed;
use crate::{Executed, Node, eventually};

/// Root file system of a virtual machine that can be a node: Debian 13's systemd and kernel.
pub const VM_ROOT: RootSpec = RootSpec {
    suite: "trixie",
    variant: "minbase",
    packages: &[
        "busybox-static",
        "crun",
        "dbus",
        "initramfs-tools",
        "iproute2",
        "kmod",
        "linux-image-cloud-amd64",
        "nftables",
        "procps",
        "systemd",
        "systemd-sysv",
        "udev",
    ],
};

/// A shell behind a virtio port: a line is a command in base64; the answer is a line with its exit
/// code and a line with its output in base64.
const BACKDOOR: &str = r#"#!/bin/bash
exec 3<>/dev/virtio-ports/floe.shell
echo ready >&3
while read -r line <&3; do
  output=$(bash -c "$(echo "$line" | base64 -d)" 2>&1 3>&-; echo "code=$?")
  printf '%s\n%s\n' "${output##*code=}" "$(printf '%s' "${output%code=*}" | base64 -w0)" >&3
done
"#;

const BACKDOOR_UNIT: &str = "[Unit]\nDescription=The test driver's shell\nDefaultDependencies=no\nAfter=basic.target\n\n[Service]\nExecStart=/usr/local/sbin/test-shell\nRestart=always\nKillMode=process\n\n[Install]\nWantedBy=multi-user.target\n";

const COMMAND_PATIENCE: Duration = Duration::from_secs(600);

/// What a virtual machine boots from.
#[derive(Debug, Clone)]
pub struct VmSpec {
    /// A root file system with kernel, initrd and systemd; it is copied, never changed.
    pub root: PathBuf,
    /// Files laid over it: path on the host and path inside, with their mode kept.
    pub files: Vec<(PathBuf, String)>,
    /// Units of `/usr/lib/systemd/system` to start at boot.
    pub enable: Vec<String>,
    /// Memory in MiB.
    pub memory: u32,
}

/// A running virtual machine; it is gone when dropped.
#[derive(Debug)]
pub struct Vm {
    name: String,
    qemu: Mutex<Child>,
    shell: Mutex<BufReader<UnixStream>>,
    folder: tempfile::TempDir,
}

impl Vm {
    /// Boots a virtual machine and returns when its shell answers.
    ///
    /// # Errors
    ///
    /// When a tool is missing, or it does not come up within ten minutes; the end of its console is in
    /// the message.
    pub fn boot(name: &str, spec: &VmSpec) -> Result<Self> {
        let folder = tempfile::tempdir().context("create a folder for the machine")?;
        let disk = make_disk(spec, folder.path())?;
        let qemu = start_qemu(spec, &disk, folder.path())?;
        let shell = connect(folder.path());
        let mut vm = PartialVm { qemu: Some(qemu) };
        let shell = shell.with_context(|| format!("{name} does not come up: {}", console(folder.path())))?;
        let qemu = vm.qemu.take().context("the machine's process is held")?;
        Ok(Self {
            name: name.to_owned(),
            qemu: Mutex::new(qemu),
            shell: Mutex::new(shell),
            folder,
        })
    }

    /// The end of what its console printed.
    #[must_use]
    pub fn console(&self) -> String {
        console(self.folder.path())
    }
}

/// Ends a machine that did not come up.
struct PartialVm {
    qemu: Option<Child>,
}

impl Drop for PartialVm {
    fn drop(&mut self) {
        self.qemu.iter_mut().for_each(end);
    }
}

fn end(child: &mut Child) {
    child.kill().and_then(|()| child.wait()).ok();
}

fn console(folder: &Path) -> String {
    let text = std::fs::read(folder.join("console")).unwrap_or_default();
    let start = text.len().saturating_sub(3000);
    String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned()
}

fn make_disk(spec: &VmSpec, folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    succeed(
        Command::new("cp")
            .args(["--archive", "--reflink=auto"])
            .arg(&spec.root)
            .arg(&root),
    )?;
    let shell = root.join("usr/local/sbin/test-shell");
    std::fs::write(&shell, BACKDOOR)?;
    succeed(Command::new("chmod").arg("755").arg(&shell))?;
    std::fs::write(
        root.join("usr/lib/systemd/system/test-shell.service"),
        BACKDOOR_UNIT,
    )?;
    for (host, inside) in &spec.files {
        let target = root.join(inside.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().context("a file needs a folder")?)?;
        succeed(
            Command::new("cp")
                .args(["--recursive", "--no-dereference"])
                .arg(host)
                .arg(&target),
        )?;
    }
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    std::fs::create_dir_all(&wants)?;
    for unit in spec
        .enable
        .iter()
        .map(String::as_str)
        .chain(["test-shell.service"])
    {
        std::os::unix::fs::symlink(format!("/usr/lib/systemd/system/{unit}"), wants.join(unit))?;
    }
    let disk = folder.join("disk.img");
    succeed(Command::new("truncate").args(["--size", "3G"]).arg(&disk))?;
    succeed(Command::new("mkfs.ext4").args(["-q", "-d"]).arg(&root).arg(&disk))?;
    std::fs::remove_dir_all(&root)?;
    Ok(disk)
}

fn start_qemu(spec: &VmSpec, disk: &Path, folder: &Path) -> Result<Child> {
    let boot = |prefix: &str| -> Result<PathBuf> {
        let mut entries = std::fs::read_dir(spec.root.join("boot"))?.flatten();
        let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        Ok(found
            .with_context(|| format!("no {prefix}* in the root's /boot"))?
            .path())
    };
    let mut command = Command::new("qemu-system-x86_64");
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-display",
        "none",
    ]);
    command.args(["-no-reboot", "-nic", "none", "-m", &spec.memory.to_string()]);
    command
        .arg("-kernel")
        .arg(boot("vmlinuz-")?)
        .arg("-initrd")
        .arg(boot("initrd.img-")?);
    command.args(["-append", "root=/dev/vda rw console=ttyS0 panic=-1 quiet"]);
    command.arg("-drive").arg(format!(
        "file={},if=virtio,format=raw,cache=unsafe",
        disk.display()
    ));
    command
        .arg("-serial")
        .arg(format!("file:{}", folder.join("console").display()));
    command.arg("-chardev").arg(format!(
        "socket,id=shell,path={},server=on,wait=off",
        socket(folder).display()
    ));
    command.args([
        "-device",
        "virtio-serial",
        "-device",
        "virtserialport,chardev=shell,name=floe.shell",
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    command.spawn().context("start qemu-system-x86_64")
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("shell")
}

fn connect(folder: &Path) -> Result<BufReader<UnixStream>> {
    let stream = eventually("the machine's shell port", || {
        Ok(UnixStream::connect(socket(folder))?)
    })?;
    stream.set_read_timeout(Some(COMMAND_PATIENCE))?;
    let mut shell = BufReader::new(stream);
    let mut word = String::new();
    shell
        .read_line(&mut word)
        .context("wait for the machine's shell")?;
    if word.trim() == "ready" {
        Ok(shell)
    } else {
        bail!("its shell said {word:?}")
    }
}

impl Node for Vm {
    fn name(&self) -> &str {
        &self.name
    }

    fn execute(&self, command: &str) -> Result<Executed> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(shell.get_mut(), "{}", BASE64_STANDARD.encode(command))?;
        let (mut code, mut output) = (String::new(), String::new());
        shell
            .read_line(&mut code)
            .with_context(|| format!("run `{command}` on {}", self.name))?;
        shell.read_line(&mut output)?;
        let bytes = BASE64_STANDARD
            .decode(output.trim())
            .context("read the command's output")?;
        let code = code
            .trim()
            .parse()
            .with_context(|| format!("read the exit code {code:?}"))?;
        Ok(Executed {
            code,
            output: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    fn crash(&self) -> Result<()> {
        end(&mut self.qemu.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// A machine has no share with the host; the file goes through its shell.
    fn copy_from_host(&self, host: &Path, inside: &str) -> Result<()> {
        let text = BASE64_STANDARD.encode(std::fs::read(host)?);
        self.succeed(&format!("echo {text} | base64 -d > {inside}"))
            .map(drop)
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        end(self.qemu.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}
