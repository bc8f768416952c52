//! `floe-run`: back-off, mounts, journal streams and exit records around one container.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use agent_run::{
    FIRST_PROCESS, ServiceEnd, copy, enter_cgroup, extend_stop, mount_namespace, reap, record,
    share_processes, start,
};

const USAGE: &str =
    "usage: floe-run start DIR | record DIR | mounts [RUN_DIR] | enter PID PROGRAM [ARGUMENT...] | extend PID SECONDS | copy FIFO FIFO | processes DIR MOUNTS
The agent and systemd call this; DIR is a container's folder under /run/floe/pods, or a pod's own for processes.";

fn main() -> ExitCode {
    let mut words = env::args_os();
    let name = words.next();
    let words: Vec<OsString> = words.collect();
    let done = if name.is_some_and(|name| name == FIRST_PROCESS) {
        reap().map(|()| ExitCode::SUCCESS).map_err(Into::into)
    } else {
        run(&words)
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let mut text = format!("floe-run: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                text.push_str(&format!(": {inner}"));
                cause = inner.source();
            }
            // With stderr gone there is nobody to tell.
            drop(writeln!(io::stderr(), "{text}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> Result<ExitCode, Box<dyn Error>> {
    let (verb, rest) = args.split_first().ok_or(USAGE)?;
    match (verb.to_str(), rest) {
        (Some("start"), [dir]) => return Ok(start(Path::new(dir), &variable("INVOCATION_ID"))?.into()),
        (Some("record"), [dir]) => record(Path::new(dir), &service_end())?,
        (Some("mounts"), []) => mount_namespace::pin(Path::new("/run/floe"))?,
        (Some("mounts"), [dir]) => mount_namespace::pin(Path::new(dir))?,
        (Some("processes"), [dir, mounts]) => share_processes(Path::new(dir), Path::new(mounts))?,
        (Some("copy"), [stdout, stderr]) => copy(Path::new(stdout), Path::new(stderr))?,
        (Some("extend"), [pid, seconds]) => extend(pid, seconds)?,
        (Some("enter"), [pid, program, arguments @ ..]) => enter(pid, program, arguments)?,
        _ => return Err(USAGE.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn service_end() -> ServiceEnd {
    ServiceEnd {
        result: variable("SERVICE_RESULT"),
        exit_code: variable("EXIT_CODE"),
        exit_status: variable("EXIT_STATUS"),
        invocation_id: variable("INVOCATION_ID"),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn extend(pid: &OsString, seconds: &OsString) -> Result<(), Box<dyn Error>> {
    let number = |text: &OsString| text.to_str().unwrap_or_default().parse();
    let time = Duration::from_secs(u64::from(number(seconds)?));
    Ok(extend_stop(number(pid)?, time)?)
}

/// Moves into the cgroup of `pid` and becomes `program`.
fn enter(pid: &OsString, program: &OsString, arguments: &[OsString]) -> Result<(), Box<dyn Error>> {
    enter_cgroup(pid.to_str().unwrap_or_default().parse()?)?;
    Err(Command::new(program).args(arguments).exec().into())
}
