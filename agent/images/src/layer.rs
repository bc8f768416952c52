//! Unpacks one layer into a folder, in overlayfs' form.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use tar::EntryType;

use crate::compression::{Bounded, OverLimit, decompress};
use crate::digest::Hashing;
use crate::tarball::{Member, Members};
use crate::tree::{self, Lookup, Meta, Place, Tree};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";
/// Other marks of the aufs driver, which mean nothing here.
const AUFS: &[u8] = b".wh..wh.";
/// A folder that no entry and no lower layer describes.
const PLAIN: Meta = Meta {
    uid: 0,
    gid: 0,
    mode: 0o755,
    mtime: 0,
};

/// How much may come out of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

impl Limits {
    /// Far above any real layer, far below what fills a node's memory or inode table unnoticed.
    pub(crate) const DEFAULT: Self = Self {
        bytes: 64 << 30,
        entries: 4_000_000,
    };
}

/// What unpacking learnt of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Digest of the tar stream.
    pub(crate) diff_id: String,
    /// Digest of the blob as it was transported.
    pub(crate) digest: String,
    /// Bytes of that blob.
    pub(crate) blob_bytes: u64,
    /// Bytes of the tar stream.
    pub(crate) bytes: u64,
}

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("unpack {entry:?}")]
    Io { entry: String, source: io::Error },
    #[error("entry {entry:?} {problem}")]
    Bad { entry: String, problem: &'static str },
    #[error("over {limit}")]
    TooLarge { limit: u64 },
}

/// Unpacks `blob` into the empty folder `into`; `parents` are the layers beneath it, lowest first.
///
/// What a folder looks like that the layer only implies (`a/b` without `a`) is taken from them.
pub(crate) fn unpack(
    blob: impl Read,
    into: &Path,
    parents: &[PathBuf],
    limits: Limits,
) -> Result<Unpacked, LayerError> {
    let io = |source| io_error("", source);
    let mut transported = Hashing::new(blob);
    let plain = Bounded::new(decompress(&mut transported).map_err(io)?, limits.bytes);
    let mut members = Members::new(Hashing::new(plain));
    let mut layer = Layer::open(into, parents).map_err(io)?;
    let mut entries = 0_u64;
    while let Some(member) = members.next().map_err(io)? {
        entries = entries.saturating_add(1);
        if entries > limits.entries {
            return Err(LayerError::TooLarge {
                limit: limits.entries,
            });
        }
        layer.entry(&member, &mut members)?;
    }
    layer.finish().map_err(io)?;
    let (diff_id, bytes) = members.into_inner().finish().map_err(io)?;
    let (digest, blob_bytes) = transported.finish().map_err(io)?;
    Ok(Unpacked {
        diff_id,
        digest,
        blob_bytes,
        bytes,
    })
}

struct Layer {
    tree: Tree,
    /// Highest first: the first that has something at a path decides.
    parents: Vec<Tree>,
    /// Times of folders, set last because filling a folder changes it.
    times: Vec<(PathBuf, i64)>,
}

impl Layer {
    fn open(into: &Path, parents: &[PathBuf]) -> io::Result<Self> {
        let root = std::fs::File::open(into)?;
        tree::set_meta(&root, &PLAIN)?;
        let parents = parents
            .iter()
            .rev()
            .map(|p| Tree::open(p))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            tree: Tree::open(into)?,
            parents,
            times: Vec::new(),
        })
    }

    fn entry(&mut self, member: &Member, data: &mut impl Read) -> Result<(), LayerError> {
        let bad = |problem| LayerError::Bad {
            entry: text(&member.path),
            problem,
        };
        let path = tree::clean(&member.path).ok_or_else(|| bad("has a .. in its path"))?;
        let Some(name) = path.file_name() else {
            return self.root(member).map_err(|e| io_error(&text(&member.path), e));
        };
        let place = self.place(&path).map_err(|e| io_error(&text(&member.path), e))?;
        if name.as_bytes().starts_with(WHITEOUT) {
            return self.whiteout(name, place, member);
        }
        match member.kind {
            EntryType::Directory => self.folder(&path, &place, member),
            EntryType::Regular => Self::file(&place, member, data),
            EntryType::Symlink => Self::symlink(&place, member),
            EntryType::Link => {
                let target =
                    tree::clean(&member.link).ok_or_else(|| bad("is a hard link with a .. in its target"))?;
                self.link(&place, &target)
            }
            EntryType::Char => Self::node(&place, member, FileType::CharacterDevice),
            EntryType::Block => Self::node(&place, member, FileType::BlockDevice),
            EntryType::Fifo => Self::node(&place, member, FileType::Fifo),
            _ => return Err(bad("is of a kind that a layer must not hold")),
        }
        .map_err(|e| io_error(&text(&member.path), e))
    }

    /// The layer's own root.
    fn root(&mut self, member: &Member) -> io::Result<()> {
        let root = self.tree.folder(Path::new(""))?;
        tree::set_meta(&root, &member.meta)?;
        self.times.push((PathBuf::new(), member.meta.mtime));
        set_xattrs(root.as_fd(), member)
    }

    fn folder(&mut self, path: &Path, place: &Place, member: &Member) -> io::Result<()> {
        let folder = match place.stat()? {
            Some(stat) if tree::is(&stat, FileType::Directory) => place.open_folder()?,
            Some(stat) => Self::replace_by_folder(place, tree::is_whiteout(&stat))?,
            None => place.make_folder()?,
        };
        tree::set_meta(&folder, &member.meta)?;
        self.times.push((path.to_owned(), member.meta.mtime));
        set_xattrs(folder.as_fd(), member)
    }

    /// A folder in place of a whiteout must go on hiding what the whiteout hid.
    fn replace_by_folder(place: &Place, was_whiteout: bool) -> io::Result<OwnedFd> {
        place.clear()?;
        let folder = place.make_folder()?;
        if was_whiteout {
            tree::set_opaque(folder.as_fd())?;
        }
        Ok(folder)
    }

    fn file(place: &Place, member: &Member, data: &mut impl Read) -> io::Result<()> {
        place.clear()?;
        let mut file = place.make_file()?;
        io::copy(data, &mut file)?;
        tree::set_meta(&file, &member.meta)?;
        set_xattrs(file.as_fd(), member)?;
        tree::set_mtime(&file, member.meta.mtime)
    }

    fn symlink(place: &Place, member: &Member) -> io::Result<()> {
        place.clear()?;
        place.make_symlink(&member.link)?;
        place.set_meta(&member.meta, FileType::Symlink)?;
        place.set_mtime(member.meta.mtime)
    }

    fn link(&self, place: &Place, target: &Path) -> io::Result<()> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = self.tree.folder(target.parent().unwrap_or(Path::new("")))?;
        let target = Place {
            folder,
            name: name.to_owned(),
        };
        if same(place, &target)? {
            return Ok(());
        }
        place.clear()?;
        place.make_link(&target)
    }

    fn node(place: &Place, member: &Member, kind: FileType) -> io::Result<()> {
        place.clear()?;
        let (major, minor) = member.device;
        place.make_node(kind, major, minor)?;
        place.set_meta(&member.meta, kind)?;
        place.set_mtime(member.meta.mtime)
    }

    /// Whiteouts hide what lower layers have, never what this layer has (OCI image 1.1, "Whiteouts").
    fn whiteout(&self, name: &OsStr, place: Place, member: &Member) -> Result<(), LayerError> {
        let io = |e| io_error(&text(&member.path), e);
        let name = name.as_bytes();
        if name == OPAQUE_WHITEOUT {
            return tree::set_opaque(place.folder.as_fd()).map_err(io);
        }
        let hidden = name.strip_prefix(WHITEOUT).unwrap_or_default();
        if name.starts_with(AUFS) {
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(LayerError::Bad {
                entry: text(&member.path),
                problem: "is a whiteout of no name",
            });
        }
        let place = Place {
            folder: place.folder,
            name: OsStr::from_bytes(hidden).to_owned(),
        };
        match place.stat().map_err(io)? {
            None => place.make_whiteout(),
            Some(stat) if tree::is(&stat, FileType::Directory) => place
                .open_folder()
                .and_then(|folder| tree::set_opaque(folder.as_fd())),
            Some(_) => Ok(()),
        }
        .map_err(io)
    }

    /// The place of `path`, its folders made where the layer only implies them.
    fn place(&mut self, path: &Path) -> io::Result<Place> {
        let folder = self.folder_of(path.parent().unwrap_or(Path::new("")))?;
        Ok(Place {
            folder,
            name: path.file_name().unwrap_or_default().to_owned(),
        })
    }

    fn folder_of(&mut self, path: &Path) -> io::Result<OwnedFd> {
        match self.tree.folder(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.file_name().is_some() => {
                let place = self.place(path)?;
                let folder = place.make_folder()?;
                self.imply(path, &folder)?;
                Ok(folder)
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory && path.file_name().is_some() => {
                let place = self.place(path)?;
                if !place.stat()?.is_some_and(|stat| tree::is_whiteout(&stat)) {
                    return Err(e);
                }
                let folder = Self::replace_by_folder(&place, true)?;
                tree::set_meta(&folder, &PLAIN)?;
                Ok(folder)
            }
            found => found,
        }
    }

    /// Gives a folder that no entry describes the looks it has in the layers beneath.
    fn imply(&mut self, path: &Path, folder: &OwnedFd) -> io::Result<()> {
        let mut meta = PLAIN;
        for parent in &self.parents {
            match parent.folder_meta(path) {
                Lookup::Absent => {}
                Lookup::Hidden => break,
                Lookup::Folder(found) => {
                    meta = found;
                    self.times.push((path.to_owned(), found.mtime));
                    break;
                }
            }
        }
        tree::set_meta(folder, &meta)
    }

    fn finish(&mut self) -> io::Result<()> {
        for (path, mtime) in self.times.drain(..) {
            match self.tree.folder(&path) {
                Ok(folder) => tree::set_mtime(&folder, mtime)?,
                // A later entry took the folder's place.
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Only attributes that mean something inside an image: those of overlayfs in an archive could
/// make the mount show files of other layers.
fn set_xattrs(fd: std::os::fd::BorrowedFd<'_>, member: &Member) -> io::Result<()> {
    let allowed = |name: &[u8]| {
        name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
    };
    for (name, value) in member.xattrs.iter().filter(|(name, _)| allowed(name)) {
        tree::set_xattr(fd, OsStr::from_bytes(name), value)?;
    }
    Ok(())
}

fn same(a: &Place, b: &Place) -> io::Result<bool> {
    let (a, b) = (a.stat()?, b.stat()?);
    Ok(a.zip(b)
        .is_some_and(|(a, b)| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)))
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn io_error(entry: &str, source: io::Error) -> LayerError {
    match OverLimit::of(&source) {
        Some(limit) => LayerError::TooLarge { limit },
        None => LayerError::Io {
            entry: entry.to_owned(),
            source,
        },
    }
}

#[cfg(test)]
mod tests;
