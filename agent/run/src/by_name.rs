//! `/dev/stdout` and `/dev/stderr` for images that open them by name.
//!
//! A container's stdout and stderr are sockets, and Linux opens no socket by its path. Images whose
//! log files are links to `/dev/stdout` (nginx's official one) would not start. For them, and for
//! them alone, the two names are FIFOs, which a small process in the unit copies to the streams. What
//! is written to the descriptors themselves never goes this way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use serde_json::{Value, json};

/// Folders of `/var/log` and entries in each that are looked at.
const LOOK: usize = 256;

/// Bytes copied at once: what a FIFO holds.
const COPY: usize = 64 << 10;

/// The FIFOs of one container.
#[derive(Debug)]
pub(crate) struct Fifos {
    stdout: PathBuf,
    stderr: PathBuf,
}

/// Whether a log file of the image is a link to a standard stream.
pub(crate) fn wanted(rootfs: &Path) -> bool {
    let logs = rootfs.join("var/log");
    // A link in place of the folder could lead anywhere.
    let plain = |path: &Path| fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
    plain(&rootfs.join("var"))
        && plain(&logs)
        && (has_link(&logs) || entries(&logs).any(|entry| plain(&entry) && has_link(&entry)))
}

fn has_link(folder: &Path) -> bool {
    let to_stream = |target: PathBuf| matches!(target.to_str(), Some("/dev/stdout" | "/dev/stderr"));
    entries(folder).any(|entry| fs::read_link(entry).is_ok_and(to_stream))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .take(LOOK)
        .filter_map(|e| e.ok().map(|e| e.path()))
}

impl Fifos {
    /// Makes them in the pod's scratch, writable for whichever user the container runs as.
    pub(crate) fn make(scratch: &Path, container: &str) -> io::Result<Self> {
        let make = |stream: &str| {
            let path = scratch.join(format!("{container}.{stream}"));
            if !fs::symlink_metadata(&path).is_ok_and(|m| m.file_type().is_fifo()) {
                mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
            Ok::<_, io::Error>(path)
        };
        Ok(Self {
            stdout: make("stdout")?,
            stderr: make("stderr")?,
        })
    }

    /// Adds them to the container's mounts.
    pub(crate) fn mount(&self, config: &mut Value) {
        let Some(mounts) = config.get_mut("mounts").and_then(Value::as_array_mut) else {
            return;
        };
        for (source, destination) in [(&self.stdout, "/dev/stdout"), (&self.stderr, "/dev/stderr")] {
            let options = ["bind", "rw", "nosuid", "noexec"];
            mounts.push(
                json!({"type": "bind", "source": source, "destination": destination, "options": options}),
            );
        }
    }

    /// Starts the copying process, whose stdout and stderr are this one's. It stays in the unit and
    /// is killed with it.
    pub(crate) fn copy(&self) -> io::Result<()> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("copy")
            .arg(&self.stdout)
            .arg(&self.stderr)
            .stdin(Stdio::null())
            .spawn()
            .map(drop)
    }
}

/// `floe-run copy`: copies both FIFOs to this process's stdout and stderr until it is killed.
///
/// # Errors
///
/// Says what could not be opened, read or written.
pub fn copy(stdout: &Path, stderr: &Path) -> io::Result<()> {
    let (mut out, mut err) = (open(stdout)?, open(stderr)?);
    let mut buffer = vec![0; COPY];
    loop {
        let mut ready = [PollFd::new(&out, PollFlags::IN), PollFd::new(&err, PollFlags::IN)];
        poll(&mut ready, None)?;
        pass(&mut out, &mut io::stdout(), &mut buffer)?;
        pass(&mut err, &mut io::stderr(), &mut buffer)?;
    }
}

/// Opened for both, so that it never ends while nobody writes.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

fn pass(from: &mut File, to: &mut impl Write, buffer: &mut [u8]) -> io::Result<()> {
    match from.read(buffer) {
        Ok(read) => {
            to.write_all(buffer.get(..read).unwrap_or_default())?;
            to.flush()
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_images_that_log_by_name_get_the_fifos() {
        let root = tempfile::tempdir().unwrap();
        assert!(!wanted(root.path()));
        fs::create_dir_all(root.path().join("var/log/nginx")).unwrap();
        symlink("/etc/passwd", root.path().join("var/log/nginx/other")).unwrap();
        assert!(!wanted(root.path()));
        symlink("/dev/stdout", root.path().join("var/log/nginx/access.log")).unwrap();
        assert!(wanted(root.path()));
    }

    #[test]
    fn a_link_in_place_of_the_log_folder_is_not_followed() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(root.path().join("var")).unwrap();
        symlink("/dev/stdout", other.path().join("access.log")).unwrap();
        symlink(other.path(), root.path().join("var/log")).unwrap();
        assert!(!wanted(root.path()));
    }

    #[test]
    fn fifos_are_made_once_and_added_to_the_mounts() {
        let scratch = tempfile::tempdir().unwrap();
        Fifos::make(scratch.path(), "c").unwrap();
        let fifos = Fifos::make(scratch.path(), "c").unwrap();
        let mut config = json!({"mounts": []});
        fifos.mount(&mut config);
        assert_eq!(config["mounts"][1]["destination"], "/dev/stderr");
    }
}
