//! `floe-run record`: what remains of a run.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::clock::now;
use crate::launch::{CONFIG_FILE, ERROR_FILE, Launch, PID_FILE};
use crate::{Ended, FormatError, Phase, Record, Records, State, mount_namespace};

/// Longest termination message, in bytes.
const MAX_MESSAGE: u64 = 4096;

/// Exit code of a container that never started, as Kubernetes has it.
const NEVER_STARTED: i32 = 128;

/// Why the end of a run was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// One of the container's files.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// What systemd tells an `ExecStopPost=` command, systemd.exec(5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceEnd {
    /// `$SERVICE_RESULT`.
    pub result: String,
    /// `$EXIT_CODE`.
    pub exit_code: String,
    /// `$EXIT_STATUS`.
    pub exit_status: String,
    /// `$INVOCATION_ID`.
    pub invocation_id: String,
}

/// Appends the record of the run that ended, then removes the run's crun state and writable layer.
/// A run that was stopped in its back-off leaves no record: nothing ran.
///
/// # Errors
///
/// Where the record could not be written; the clean-up is done all the same.
pub fn record(dir: &Path, end: &ServiceEnd) -> Result<(), FinishError> {
    let launch = Launch::read(dir).ok().flatten();
    let result = append(dir, end, launch.as_ref());
    if let Some(launch) = &launch {
        clean_up(dir, launch);
    }
    result
}

fn append(dir: &Path, end: &ServiceEnd, launch: Option<&Launch>) -> Result<(), FinishError> {
    let state = State::read(dir)
        .ok()
        .flatten()
        .filter(|s| s.invocation_id == end.invocation_id);
    let started_at = match state.map(|s| s.phase) {
        Some(Phase::Waiting { .. }) => return Ok(()),
        Some(Phase::Started { at }) => at,
        None => now(),
    };
    let mut record = ended(end);
    record.started_at = started_at;
    record.finished_at = now().max(started_at);
    record.start_error = start_error(dir);
    if record.start_error.is_some() {
        (record.ended, record.exit_code, record.signal) = (Ended::Exited, NEVER_STARTED, 0);
    } else if let Some(launch) = launch {
        record.message = termination_message(launch);
    }
    // Damaged records are started anew rather than kept from ever being written again.
    let mut records = Records::read(dir).unwrap_or_default();
    if records
        .last()
        .is_some_and(|last| last.invocation_id == end.invocation_id)
    {
        return Ok(());
    }
    records.append(record);
    let written = records.write(dir).or_else(|error| {
        if !error.is_full() {
            return Err(error);
        }
        // How a run ended must not be lost for want of space: its configuration, which the next start
        // writes anew, makes room.
        drop(fs::remove_file(dir.join(CONFIG_FILE)));
        records.write(dir)
    });
    Ok(written?)
}

/// systemd's words as numbers.
fn ended(end: &ServiceEnd) -> Record {
    let (ended, exit_code, signal) = match end.exit_code.as_str() {
        "killed" | "dumped" => {
            let ended = if end.exit_code == "dumped" {
                Ended::Dumped
            } else {
                Ended::Killed
            };
            let signal = signal_number(&end.exit_status);
            (ended, 128 + signal, signal)
        }
        // Nothing said of the main process: it never was.
        "" => (Ended::Exited, NEVER_STARTED, 0),
        _ => (Ended::Exited, end.exit_status.parse().unwrap_or(NEVER_STARTED), 0),
    };
    Record {
        invocation_id: end.invocation_id.clone(),
        result: end.result.clone(),
        ended,
        exit_code,
        signal,
        ..Record::default()
    }
}

/// `15` of `TERM`, and of a number as real-time signals may be written.
fn signal_number(name: &str) -> i32 {
    if let Ok(number) = name.parse() {
        return number;
    }
    let known = format!("SIG{}", name.trim_start_matches("SIG")).parse::<nix::sys::signal::Signal>();
    known.map_or(0, |signal| signal as i32)
}

/// What floe-run or crun left in the container's directory about a start that failed. crun writes a JSON object a line.
#[must_use]
pub fn start_error(dir: &Path) -> Option<String> {
    let text = bounded(&dir.join(ERROR_FILE)).filter(|t| !t.trim().is_empty())?;
    let said = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(entry) if entry.get("level").and_then(Value::as_str) == Some("error") => {
            entry.get("msg").and_then(Value::as_str).map(str::to_owned)
        }
        Ok(_) => None,
        Err(_) => Some(line.to_owned()),
    };
    let lines: Vec<String> = text.lines().filter_map(said).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// The message lies in the pods' mount namespace; one that cannot be read is none.
fn termination_message(launch: &Launch) -> String {
    if mount_namespace::enter(&launch.mount_namespace).is_err() {
        return String::new();
    }
    bounded(&launch.pod.termination_message(&launch.identity.container)).unwrap_or_default()
}

fn bounded(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_MESSAGE)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Everything here is also done before the next start, so failures wait until then.
fn clean_up(dir: &Path, launch: &Launch) {
    let crun = Command::new(&launch.crun)
        .arg("--cgroup-manager=disabled")
        .arg("--root")
        .arg(&launch.crun_root)
        .args(["delete", "--force"])
        .arg(&launch.container_id)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    drop(crun);
    drop(fs::remove_file(dir.join(PID_FILE)));
    drop(fs::remove_dir_all(&launch.rootfs.writable));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: &str, status: &str) -> ServiceEnd {
        ServiceEnd {
            result: "x".into(),
            exit_code: code.into(),
            exit_status: status.into(),
            invocation_id: "i1".into(),
        }
    }

    fn said(code: &str, status: &str) -> (Ended, i32, i32) {
        let record = ended(&end(code, status));
        (record.ended, record.exit_code, record.signal)
    }

    #[test]
    fn exit_codes_and_signals_are_counted_as_kubernetes_does() {
        assert_eq!(said("exited", "3"), (Ended::Exited, 3, 0));
        assert_eq!(said("killed", "TERM"), (Ended::Killed, 143, 15));
        assert_eq!(said("dumped", "SEGV"), (Ended::Dumped, 139, 11));
        assert_eq!(said("", ""), (Ended::Exited, 128, 0));
    }

    #[test]
    fn a_run_stopped_in_its_back_off_leaves_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let state = State {
            invocation_id: "i1".into(),
            restart: 2,
            phase: Phase::Waiting { until: 9 },
        };
        state.write(dir.path()).unwrap();
        record(dir.path(), &end("", "")).unwrap();
        assert_eq!(Records::read(dir.path()).unwrap().total, 0);
    }

    #[test]
    fn a_run_is_recorded_once() {
        let dir = tempfile::tempdir().unwrap();
        let state = State {
            invocation_id: "i1".into(),
            restart: 0,
            phase: Phase::Started { at: 5 },
        };
        state.write(dir.path()).unwrap();
        for _ in 0..2 {
            record(dir.path(), &end("exited", "7")).unwrap();
        }
        let records = Records::read(dir.path()).unwrap();
        assert_eq!((records.total, records.last().unwrap().exit_code), (1, 7));
        assert_eq!(records.last().unwrap().started_at, 5);
    }

    #[test]
    fn a_run_is_recorded_on_a_full_disk() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: mounting a small file system needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let options = c"size=128k";
        rustix::mount::mount(
            "tmpfs",
            dir.path(),
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            options,
        )
        .unwrap();
        fs::write(dir.path().join(CONFIG_FILE), vec![b'x'; 16 << 10]).unwrap();
        let filled = fs::write(dir.path().join("filler"), vec![0; 1 << 20]);
        let recorded = record(dir.path(), &end("exited", "7"));
        let records = Records::read(dir.path());
        rustix::mount::unmount(dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
        assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        recorded.unwrap();
        assert_eq!(records.unwrap().last().unwrap().exit_code, 7);
    }

    #[test]
    fn what_crun_said_of_a_failed_start_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = r#"{"msg":"no such file","level":"error","time":"t"}"#;
        fs::write(
            dir.path().join(ERROR_FILE),
            format!("{{\"msg\":\"odd\",\"level\":\"warning\"}}\n{log}\n"),
        )
        .unwrap();
        record(dir.path(), &end("exited", "1")).unwrap();
        let records = Records::read(dir.path()).unwrap();
        let last = records.last().unwrap();
        assert_eq!(last.start_error.as_deref(), Some("no such file"));
        assert_eq!(last.exit_code, 128);
    }
}
