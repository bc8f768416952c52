//! Booting, entering and stopping one machine.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::disk::{Disk, Keep, clear_way, write_file};
use crate::{Bridge, MachineError, Subnet, cgroup, process, run, succeeds};

const BOOT_PATIENCE: Duration = Duration::from_secs(60);
/// How often a booting machine is asked whether it is up.
const BOOT_PROBE: Duration = Duration::from_millis(40);

/// A file put into the machine before it boots.
#[derive(Debug, Clone)]
pub struct SeedFile {
    /// Absolute path inside the machine.
    pub path: PathBuf,
    /// What it is.
    pub contents: Contents,
}

/// What a file put into a machine is.
#[derive(Debug, Clone)]
pub enum Contents {
    /// A file of these bytes with this mode.
    Bytes(Vec<u8>, u32),
    /// A file of this host, copied.
    Copy(PathBuf),
    /// A symbolic link to this target.
    Link(PathBuf),
}

impl SeedFile {
    /// A text file readable by everyone.
    #[must_use]
    pub fn text(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            contents: Contents::Bytes(text.into().into_bytes(), 0o644),
        }
    }

    /// A text file readable by root alone.
    #[must_use]
    pub fn secret(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            contents: Contents::Bytes(text.into().into_bytes(), 0o600),
        }
    }

    /// A copy of the file `host`, with its mode.
    #[must_use]
    pub fn copy(path: impl Into<PathBuf>, host: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            contents: Contents::Copy(host.into()),
        }
    }

    /// A symbolic link to `target`.
    #[must_use]
    pub fn link(path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            contents: Contents::Link(target.into()),
        }
    }
}

/// All that a machine needs to boot.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// The cached root file system it is layered over.
    pub lower: PathBuf,
    /// The bridge it hangs on.
    pub bridge: Bridge,
    /// The network of that bridge.
    pub subnet: Subnet,
    /// Its address there.
    pub address: Ipv4Addr,
    /// Files laid into its root before it boots.
    pub files: Vec<SeedFile>,
    /// Units to start at boot, each a path inside the machine.
    pub enable: Vec<&'static str>,
}

/// A machine by name and directory, running or not.
#[derive(Debug, Clone)]
pub struct Machine {
    name: String,
    disk: Disk,
}

impl Machine {
    /// The machine `name` whose files lie in `dir`.
    #[must_use]
    pub fn new(name: &str, dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            disk: Disk::new(dir),
        }
    }

    /// Its name, also its host name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The machine's `/var/lib/floe`, as a path on the host.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.disk.state()
    }

    /// A path of the running machine's root, as a path on the host.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.disk.root().join(inside.trim_start_matches('/'))
    }

    /// Boots the machine and returns when its systemd answers; does nothing where it runs.
    ///
    /// # Errors
    ///
    /// When files, network or process cannot be made, or it is not up within a minute; what was made
    /// until then stays, for [`Machine::stop`] and [`Machine::remove`].
    pub fn boot(&self, spec: &MachineSpec) -> Result<(), MachineError> {
        if self.leader().is_some() {
            return Ok(());
        }
        self.disk.mount(&spec.lower)?;
        self.seed(spec)?;
        self.spawn(spec)?;
        let up = self.wait_until_up();
        if up.is_ok() || self.supervisor().is_some() {
            return up;
        }
        // nspawn has ended at once: the kernel takes away the link of a machine that was cut off a moment after its last
        // process, and refuses another of that name until then.
        self.spawn(spec)?;
        self.wait_until_up()
    }

    fn seed(&self, spec: &MachineSpec) -> Result<(), MachineError> {
        let network = format!(
            "[Match]\nName=host0\n\n[Network]\nAddress={}/{}\nGateway={}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
            spec.address,
            Subnet::PREFIX,
            spec.subnet.host()
        );
        let hosts = format!(
            "127.0.0.1 localhost\n::1 localhost\n{} {}\n",
            spec.address, self.name
        );
        let own = [
            SeedFile::text("/etc/systemd/network/10-host0.network", network),
            SeedFile::text("/etc/hosts", hosts),
            SeedFile::text("/etc/hostname", format!("{}\n", self.name)),
        ];
        self.enable("/lib/systemd/system/systemd-networkd.service")?;
        spec.enable.iter().try_for_each(|unit| self.enable(unit))?;
        // A journal on disk survives the machine and is not bounded by its memory.
        let journal = self.path("/var/log/journal");
        std::fs::create_dir_all(&journal).map_err(MachineError::file("create", &journal))?;
        own.iter().chain(&spec.files).try_for_each(|file| self.lay(file))
    }

    fn lay(&self, file: &SeedFile) -> Result<(), MachineError> {
        let path = self.path(&file.path.to_string_lossy());
        match &file.contents {
            Contents::Bytes(bytes, mode) => write_file(&path, bytes, *mode),
            Contents::Copy(host) => {
                clear_way(&path)?;
                std::fs::copy(host, &path)
                    .map(drop)
                    .map_err(MachineError::file("copy into the machine", host))
            }
            Contents::Link(target) => {
                clear_way(&path)?;
                std::os::unix::fs::symlink(target, &path).map_err(MachineError::file("link", &path))
            }
        }
    }

    fn enable(&self, unit: &str) -> Result<(), MachineError> {
        let name = Path::new(unit).file_name().unwrap_or_default();
        let folder = self.path("/etc/systemd/system/multi-user.target.wants");
        std::fs::create_dir_all(&folder).map_err(MachineError::file("create", &folder))?;
        let link = folder.join(name);
        match std::os::unix::fs::symlink(unit, &link) {
            Err(err) if err.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(MachineError::file("link", link)(err))
            }
            _ => Ok(()),
        }
    }

    /// Starts systemd-nspawn as a process of its own session that outlives this one.
    fn spawn(&self, spec: &MachineSpec) -> Result<(), MachineError> {
        let console = self.disk.console();
        let log = File::create(&console).map_err(MachineError::file("create", &console))?;
        let errors = log.try_clone().map_err(MachineError::file("open", &console))?;
        let mut command = self.launcher()?;
        command
            .arg(self.directory_argument())
            .arg(format!("--machine={}", self.name))
            .arg(format!("--hostname={}", self.name))
            .arg(format!("--network-bridge={}", spec.bridge.name()))
            .arg(format!("--bind={}:/var/lib/floe", self.disk.state().display()));
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let program = "systemd-nspawn".to_owned();
        command
            .spawn()
            .map(drop)
            .map_err(|source| MachineError::Spawn { program, source })
    }

    /// The command line up to nspawn's own arguments, which are the machine's.
    ///
    /// The shell moves itself into the machine's cgroups and becomes nspawn; no seccomp filter, since
    /// nspawn's default one forbids the keyrings that crun makes.
    fn launcher(&self) -> Result<Command, MachineError> {
        let script = "dir=$1; shift; for file in $dir; do echo $$ > \"$file\"; done; exec \"$@\"";
        let procs = cgroup::create(&self.name)?;
        let procs: Vec<_> = procs
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", script, "floe", &procs.join(" ")]);
        command.args([
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
        ]);
        command.args(["--capability=all", "--console=read-only", "--link-journal=no"]);
        command.args(["--resolv-conf=off", "--timezone=off"]);
        command.env("SYSTEMD_SECCOMP", "0");
        Ok(command)
    }

    fn directory_argument(&self) -> String {
        format!("--directory={}", self.disk.root().display())
    }

    fn wait_until_up(&self) -> Result<(), MachineError> {
        let start = Instant::now();
        while start.elapsed() < BOOT_PATIENCE {
            if let Ok(mut ask) = self.enter(&["systemctl", "is-system-running"])
                && let Ok(output) = ask.stdin(Stdio::null()).output()
                && matches!(output.stdout.trim_ascii(), b"starting" | b"running" | b"degraded")
            {
                return Ok(());
            }
            if start.elapsed() > Duration::from_secs(2) && self.supervisor().is_none() {
                break;
            }
            std::thread::sleep(BOOT_PROBE);
        }
        Err(self.late("did not come up", start.elapsed()))
    }

    fn late(&self, what: &'static str, waited: Duration) -> MachineError {
        MachineError::Late {
            machine: self.name.clone(),
            what,
            waited,
            console: self.disk.console(),
        }
    }

    fn supervisor(&self) -> Option<Pid> {
        process::find("systemd-nspawn", &self.directory_argument())
    }

    /// The machine's PID 1 as this host counts it, where it runs.
    #[must_use]
    pub fn leader(&self) -> Option<Pid> {
        process::namespace_leader(self.supervisor()?)
    }

    /// A command that runs `words` inside the machine, with a plain environment and the caller's
    /// standard streams.
    ///
    /// # Errors
    ///
    /// When the machine is not running.
    pub fn enter(&self, words: &[&str]) -> Result<Command, MachineError> {
        let leader = self
            .leader()
            .ok_or_else(|| MachineError::NotRunning(self.name.clone()))?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", leader.as_raw_pid()));
        command.args(["--all", "--wdns=/root", "--"]).args(words);
        let terminal = std::env::var_os("TERM").unwrap_or_else(|| "dumb".into());
        command.env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command
            .env("HOME", "/root")
            .env("TERM", terminal)
            .env("LANG", "C.UTF-8");
        Ok(command)
    }

    /// Runs `words` inside the machine and returns what they print.
    ///
    /// # Errors
    ///
    /// When the machine is not running or the command fails.
    pub fn run(&self, words: &[&str]) -> Result<String, MachineError> {
        run(&mut self.enter(words)?)
    }

    /// Powers the machine off, by force after `patience`, and lets go of its mounts and cgroups; does
    /// nothing where it is stopped.
    ///
    /// # Errors
    ///
    /// When a mount or a cgroup is still in use.
    pub fn stop(&self, patience: Duration) -> Result<(), MachineError> {
        if let Some(supervisor) = self.supervisor() {
            self.power_off(supervisor, patience);
        }
        self.disk.unmount()?;
        cgroup::remove(&self.name)
    }

    fn power_off(&self, supervisor: Pid, patience: Duration) {
        let asked = process::namespace_leader(supervisor).is_some_and(|leader| {
            // SIGRTMIN+4 is systemd's "power off"; util-linux knows its number.
            let pid = leader.as_raw_pid().to_string();
            succeeds(Command::new("kill").args(["-s", "RTMIN+4", &pid]))
        });
        if !asked || !process::wait_gone(supervisor, patience) {
            self.force(supervisor);
        }
    }

    /// Kills the machine's PID 1, and with it everything inside, then its supervisor.
    pub fn kill(&self) {
        if let Some(supervisor) = self.supervisor() {
            self.force(supervisor);
        }
    }

    fn force(&self, supervisor: Pid) {
        for pid in process::namespace_leader(supervisor)
            .into_iter()
            .chain([supervisor])
        {
            // A process that is gone already is what was asked for.
            kill_process(pid, Signal::KILL).ok();
        }
        process::wait_gone(supervisor, Duration::from_secs(10));
    }

    /// Removes the files of a stopped machine.
    ///
    /// # Errors
    ///
    /// Passes on what the file system refused.
    pub fn remove(&self) -> Result<(), MachineError> {
        self.disk.remove(Keep::Nothing)
    }

    /// Removes the files of a stopped machine but for its `/var/lib/floe`.
    ///
    /// # Errors
    ///
    /// Passes on what the file system refused.
    pub fn remove_keeping_state(&self) -> Result<(), MachineError> {
        self.disk.remove(Keep::State)
    }
}
