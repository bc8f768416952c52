//! Writing a projected volume so that all its files change at once.
//!
//! ```text
//! volume/key       -> ..data/key          made once for each top-level name
//! volume/..data    -> ..2026_11_21_…      swapped by rename
//! volume/..2026_…/key                     the files of one version
//! ```

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, fchmod, fchown, mkdirat, openat, readlinkat, renameat,
    statat, symlinkat, unlinkat,
};

use crate::{Payload, PayloadFile};

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Brings the volume at `target` to `files`; changes nothing where it holds them already.
///
/// Readers that go through the volume's names see all old files or all new ones, never a mixture, and
/// a process killed at any step leaves the old ones.
pub(crate) fn write(target: &Path, files: &Payload, group: Option<u32>) -> io::Result<()> {
    let volume = openat(CWD, target, FOLDER, Mode::empty())?;
    let current = link(&volume, DATA);
    if current
        .as_deref()
        .is_some_and(|version| holds(&volume, version, files))
    {
        return Ok(());
    }
    let version = next_version(current.as_deref());
    // A version that a killed process left half written.
    remove(&volume, &version)?;
    // On a full disk half a version would keep the space that others need.
    write_version(&volume, &version, files, group).inspect_err(|_| drop(remove(&volume, &version)))?;
    remove(&volume, NEW_DATA)?;
    symlinkat(version.as_str(), &volume, NEW_DATA)?;
    renameat(&volume, NEW_DATA, &volume, DATA)?;
    link_names(&volume, files)?;
    sweep(&volume, &version, files)
}

/// Versions alternate between two names: a reader holds the old one open at most.
fn next_version(current: Option<&str>) -> String {
    if current == Some("..version_a") {
        "..version_b".to_owned()
    } else {
        "..version_a".to_owned()
    }
}

fn link(volume: &OwnedFd, name: &str) -> Option<String> {
    readlinkat(volume, name, Vec::new()).ok()?.into_string().ok()
}

fn write_version(volume: &OwnedFd, version: &str, files: &Payload, group: Option<u32>) -> io::Result<()> {
    mkdirat(volume, version, Mode::from_raw_mode(0o755))?;
    let root = openat(volume, version, FOLDER, Mode::empty())?;
    own(&root, 0o755, group)?;
    for (path, file) in files {
        let mut folder = root.try_clone()?;
        let mut parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        let name = parts.pop().unwrap_or_default();
        for part in parts {
            match mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                Err(err) if err != rustix::io::Errno::EXIST => return Err(err.into()),
                _ => folder = openat(&folder, part, FOLDER, Mode::empty())?,
            }
            own(&folder, 0o755, group)?;
        }
        write_file(&folder, name, file, group)?;
    }
    Ok(())
}

fn write_file(folder: &OwnedFd, name: &str, file: &PayloadFile, group: Option<u32>) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(folder, name, flags, Mode::from_raw_mode(0o600))?;
    // The pod's group must read what it was given the volume for.
    let mode = if group.is_some() {
        file.mode | 0o440
    } else {
        file.mode
    };
    own(&opened, mode, group)?;
    std::fs::File::from(opened).write_all(&file.bytes)
}

fn own(opened: &impl AsFd, mode: u32, group: Option<u32>) -> io::Result<()> {
    if let Some(group) = group {
        fchown(opened, None, Some(Gid::from_raw(group)))?;
    }
    // After the change of group, which clears some bits; not subject to the umask.
    Ok(fchmod(opened, Mode::from_raw_mode(mode))?)
}

/// Whether `version` holds exactly the contents of `files`.
fn holds(volume: &OwnedFd, version: &str, files: &Payload) -> bool {
    let Ok(root) = openat(volume, version, FOLDER, Mode::empty()) else {
        return false;
    };
    let mut found = 0;
    let same = files.iter().all(|(path, file)| {
        found += 1;
        read(&root, path).is_ok_and(|bytes| bytes == file.bytes)
    });
    same && count(&root).is_ok_and(|stored| stored == found)
}

fn read(root: &OwnedFd, path: &str) -> io::Result<Vec<u8>> {
    let opened = openat(
        root,
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut std::fs::File::from(opened), &mut bytes)?;
    Ok(bytes)
}

/// How many files lie below `folder`.
fn count(folder: &OwnedFd) -> io::Result<usize> {
    let mut total = 0;
    for name in names(folder)? {
        total += match kind(folder, &name)? {
            FileType::Directory => count(&openat(folder, name.as_str(), FOLDER, Mode::empty())?)?,
            _ => 1,
        };
    }
    Ok(total)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn kind(folder: &OwnedFd, name: &str) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(
        statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode,
    ))
}

/// Each top-level name leads through `..data`, made once.
fn link_names(volume: &OwnedFd, files: &Payload) -> io::Result<()> {
    for name in top_level(files) {
        let target = format!("{DATA}/{name}");
        if link(volume, name).as_deref() != Some(&target) {
            remove(volume, name)?;
            symlinkat(target.as_str(), volume, name)?;
        }
    }
    Ok(())
}

fn top_level(files: &Payload) -> BTreeSet<&str> {
    files.keys().filter_map(|path| path.split('/').next()).collect()
}

/// Removes what neither the current version nor its names are.
fn sweep(volume: &OwnedFd, version: &str, files: &Payload) -> io::Result<()> {
    let wanted = top_level(files);
    for name in names(volume)? {
        if name != DATA && name != version && !wanted.contains(name.as_str()) {
            remove(volume, &name)?;
        }
    }
    Ok(())
}

/// Removes `name` with all below it, following no link; does nothing where it is absent.
fn remove(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match kind(folder, name) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err),
        Ok(FileType::Directory) => {
            let inner = openat(folder, name, FOLDER, Mode::empty())?;
            names(&inner)?
                .iter()
                .try_for_each(|below| remove(&inner, below))?;
            Ok(unlinkat(folder, name, AtFlags::REMOVEDIR)?)
        }
        Ok(_) => Ok(unlinkat(folder, name, AtFlags::empty())?),
    }
}
