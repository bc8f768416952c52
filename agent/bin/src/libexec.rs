//! The pinned `floe-run`: a unit made by an old version restarts with that version.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

/// Copies `floe-run` from beside this program to `<libexec>/<hash>/floe-run` and returns that path.
/// A version that is there already is left alone: units are running from it.
pub(crate) fn pin(libexec: &Path) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find the agent's own program")?;
    let source = own.with_file_name("floe-run");
    let bytes = std::fs::read(&source)
        .with_context(|| format!("read {}; install floe-run beside floe-agent", source.display()))?;
    let hash: String = Sha256::digest(&bytes)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let dir = libexec.join(hash);
    let target = dir.join("floe-run");
    place(&dir, &target, &bytes).with_context(|| format!("pin floe-run at {}", target.display()))?;
    Ok(target)
}

fn place(dir: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if target.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)?;
    let fresh = dir.join(".floe-run.new");
    let write = || {
        std::fs::write(&fresh, bytes)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755))?;
        std::fs::File::open(&fresh)?.sync_all()?;
        std::fs::rename(&fresh, target)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&fresh)))
}

/// The program `name` in the usual folders.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = [
        "/usr/bin",
        "/usr/sbin",
        "/bin",
        "/sbin",
        "/run/current-system/sw/bin",
    ];
    std::env::split_paths(&path)
        .chain(usual.map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_version_is_never_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (home, target) = (dir.path().join("h"), dir.path().join("h/floe-run"));
        place(&home, &target, b"one").unwrap();
        place(&home, &target, b"two").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"one");
    }
}
