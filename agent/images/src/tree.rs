//! File system calls beneath one folder: no path leads out of it, whatever symlinks lie in it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
    chownat, fchmod, fsetxattr, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;

/// Overlayfs' mark of a folder that hides what lies under it.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Symlinks are followed as if the tree were `/`, so that `lib/x` lands in `usr/lib/x` where `lib` says so.
const WITHIN: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Owner, permissions and time of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    pub(crate) mtime: i64,
}

/// A folder that is filled through its descriptor.
pub(crate) struct Tree {
    root: OwnedFd,
}

/// A place in a tree: an open folder and a name in it.
pub(crate) struct Place {
    pub(crate) folder: OwnedFd,
    pub(crate) name: OsString,
}

impl Tree {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            root: openat(CWD, path, FOLDER, Mode::empty())?,
        })
    }

    /// Opens the folder `path` (relative, clean).
    pub(crate) fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        Ok(openat2(&self.root, path, FOLDER, Mode::empty(), WITHIN)?)
    }

    /// Metadata of the folder `path` when there is one, no symlink followed.
    pub(crate) fn folder_meta(&self, path: &Path) -> Lookup {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(&self.root, path, flags, Mode::empty(), resolve).and_then(rustix::fs::fstat) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Lookup::Folder(meta_of(&stat))
            }
            Err(Errno::NOENT) => Lookup::Absent,
            Ok(_) | Err(_) => Lookup::Hidden,
        }
    }

    /// Opens the regular file `path` for reading.
    pub(crate) fn file(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let file = openat2(&self.root, path, flags, Mode::empty(), WITHIN)?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            Ok(File::from(file))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
    }
}

/// What a lower layer has at a path.
pub(crate) enum Lookup {
    Folder(Meta),
    Absent,
    /// Something else hides whatever lies deeper.
    Hidden,
}

impl Place {
    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        match statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes whatever is there, a folder with all that is in it.
    pub(crate) fn clear(&self) -> io::Result<()> {
        match self.stat()? {
            None => Ok(()),
            Some(stat) if is(&stat, FileType::Directory) => {
                let through = PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()));
                std::fs::remove_dir_all(through.join(&self.name))
            }
            Some(_) => Ok(unlinkat(&self.folder, &self.name, AtFlags::empty())?),
        }
    }

    pub(crate) fn make_folder(&self) -> io::Result<OwnedFd> {
        mkdirat(&self.folder, &self.name, Mode::from_raw_mode(0o700))?;
        self.open_folder()
    }

    pub(crate) fn open_folder(&self) -> io::Result<OwnedFd> {
        Ok(openat(
            &self.folder,
            &self.name,
            FOLDER | OFlags::NOFOLLOW,
            Mode::empty(),
        )?)
    }

    pub(crate) fn make_file(&self) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(
            &self.folder,
            &self.name,
            flags,
            Mode::from_raw_mode(0o600),
        )?))
    }

    pub(crate) fn make_symlink(&self, target: &[u8]) -> io::Result<()> {
        Ok(symlinkat(OsStr::from_bytes(target), &self.folder, &self.name)?)
    }

    /// Another name for what `target` names; symlinks are linked, not followed.
    pub(crate) fn make_link(&self, target: &Place) -> io::Result<()> {
        Ok(linkat(
            &target.folder,
            &target.name,
            &self.folder,
            &self.name,
            AtFlags::empty(),
        )?)
    }

    pub(crate) fn make_node(&self, kind: FileType, major: u32, minor: u32) -> io::Result<()> {
        let device = rustix::fs::makedev(major, minor);
        Ok(mknodat(
            &self.folder,
            &self.name,
            kind,
            Mode::from_raw_mode(0o600),
            device,
        )?)
    }

    /// Hides the name of a lower layer, as overlayfs wants it said.
    pub(crate) fn make_whiteout(&self) -> io::Result<()> {
        Ok(mknodat(
            &self.folder,
            &self.name,
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        )?)
    }

    /// Owner, and permissions where `kind` has them; the owner first, since changing it clears set-uid.
    pub(crate) fn set_meta(&self, meta: &Meta, kind: FileType) -> io::Result<()> {
        let owner = (Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)));
        chownat(
            &self.folder,
            &self.name,
            owner.0,
            owner.1,
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        if kind != FileType::Symlink {
            let mode = Mode::from_raw_mode(meta.mode & 0o7777);
            rustix::fs::chmodat(&self.folder, &self.name, mode, AtFlags::empty())?;
        }
        Ok(())
    }

    pub(crate) fn set_mtime(&self, mtime: i64) -> io::Result<()> {
        Ok(utimensat(
            &self.folder,
            &self.name,
            &times(mtime),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }
}

/// Sets owner and permissions through an open descriptor.
pub(crate) fn set_meta(fd: impl AsFd, meta: &Meta) -> io::Result<()> {
    rustix::fs::fchown(&fd, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
    Ok(fchmod(&fd, Mode::from_raw_mode(meta.mode & 0o7777))?)
}

/// Sets the time of modification through an open descriptor.
pub(crate) fn set_mtime(fd: impl AsFd, mtime: i64) -> io::Result<()> {
    Ok(rustix::fs::futimens(fd, &times(mtime))?)
}

/// Marks an open folder as hiding what lies under it.
pub(crate) fn set_opaque(folder: BorrowedFd<'_>) -> io::Result<()> {
    set_xattr(folder, OPAQUE.as_ref(), b"y")
}

/// Sets an extended attribute through an open descriptor.
pub(crate) fn set_xattr(fd: BorrowedFd<'_>, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(fsetxattr(fd, name, value, XattrFlags::empty())?)
}

/// Whether `stat` is of a whiteout.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    is(stat, FileType::CharacterDevice) && stat.st_rdev == 0
}

/// Whether `stat` is of that kind.
pub(crate) fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

/// Makes `raw` a relative path without `.`; `None` where it has a `..`.
pub(crate) fn clean(raw: &[u8]) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(raw)).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            Component::ParentDir => return None,
        }
    }
    Some(clean)
}

fn meta_of(stat: &Stat) -> Meta {
    Meta {
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode,
        mtime: stat.st_mtime,
    }
}

fn times(mtime: i64) -> Timestamps {
    let at = Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: at,
        last_modification: at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_paths_are_relative_and_have_no_parent() {
        assert_eq!(clean(b"./a//b/./c/"), Some("a/b/c".into()));
        assert_eq!(clean(b"/etc/passwd"), Some("etc/passwd".into()));
        assert_eq!(clean(b"./"), Some("".into()));
        assert_eq!(clean(b"a/../../etc"), None);
    }

    #[test]
    fn a_symlink_out_of_the_tree_ends_inside_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/here"), "inside").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
        std::os::unix::fs::symlink("../../../../..", dir.path().join("up")).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        for path in ["out/here", "up/etc/here"] {
            assert_eq!(
                std::io::read_to_string(tree.file(Path::new(path)).unwrap()).unwrap(),
                "inside"
            );
        }
        assert!(tree.file(Path::new("out/passwd")).is_err());
    }
}
