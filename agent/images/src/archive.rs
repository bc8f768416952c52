//! Access to the parts of an archive by name: a folder, or a tar file that is read in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tar::EntryType;

use crate::compression::{Bounded, decompress, is_compressed};
use crate::tarball::Members;
use crate::tree::{Tree, clean};

/// Bytes that a compressed archive may unpack to.
const MAX_ARCHIVE: u64 = 256 << 30;
/// Members that a tar archive may have (layers and manifests, not the files in them).
const MAX_MEMBERS: usize = 100_000;

/// An image archive.
pub(crate) enum Archive {
    /// A folder in OCI layout.
    Folder(Tree),
    /// A tar file with where its members lie.
    Tar {
        file: File,
        members: BTreeMap<PathBuf, Part>,
    },
}

/// Where a member of a tar file is.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Data {
        offset: u64,
        size: u64,
    },
    /// `docker save` writes a layer twice as a link to the first.
    Link(PathBuf),
}

impl Archive {
    /// Opens `path`; a compressed one is first unpacked into a nameless file in `scratch`.
    pub(crate) fn open(path: &Path, scratch: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Ok(Self::Folder(Tree::open(path)?));
        }
        let file = File::open(path)?;
        let mut head = [0; 4];
        let read = file.read_at(&mut head, 0)?;
        let file = if is_compressed(head.get(..read).unwrap_or_default()) {
            plain(file, scratch)?
        } else {
            file
        };
        let members = index(&file)?;
        Ok(Self::Tar { file, members })
    }

    /// Opens the part `name`; `None` where there is none.
    pub(crate) fn part(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        let Some(path) = clean(name.as_bytes()) else {
            return Ok(None);
        };
        match self {
            Self::Folder(tree) => match tree.file(&path) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            },
            Self::Tar { file, members } => {
                let part = match members.get(&path) {
                    Some(Part::Link(target)) => members.get(target),
                    found => found,
                };
                let Some(Part::Data { offset, size }) = part else {
                    return Ok(None);
                };
                Ok(Some(Box::new(Section {
                    file,
                    at: *offset,
                    left: *size,
                })))
            }
        }
    }

    /// Reads the small part `name` whole; an error where it is over `limit` bytes.
    pub(crate) fn small(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(part) = self.part(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        Bounded::new(part, limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

fn plain(file: File, scratch: &Path) -> io::Result<File> {
    let mut out = tempfile::tempfile_in(scratch)?;
    io::copy(&mut Bounded::new(decompress(file)?, MAX_ARCHIVE), &mut out)?;
    Ok(out)
}

fn index(file: &File) -> io::Result<BTreeMap<PathBuf, Part>> {
    let end = file.metadata()?.len();
    let mut found = BTreeMap::new();
    // Sections seek where a plain reader would read through gigabytes of layers.
    let mut at = 0;
    while at < end && found.len() < MAX_MEMBERS {
        let mut members = Members::new(Section {
            file,
            at,
            left: end.saturating_sub(at),
        });
        let Some(member) = members.next()? else { break };
        let offset = at.saturating_add(members.position());
        at = offset.saturating_add(member.size.div_ceil(512).saturating_mul(512));
        let Some(path) = clean(&member.path) else { continue };
        match member.kind {
            EntryType::Regular => drop(found.insert(
                path,
                Part::Data {
                    offset,
                    size: member.size,
                },
            )),
            EntryType::Link => drop(clean(&member.link).and_then(|to| found.insert(path, Part::Link(to)))),
            EntryType::Symlink => {
                if let Some(target) = beside(&path, &member.link) {
                    found.insert(path, Part::Link(target));
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The member that a relative symlink at `path` leads to.
fn beside(path: &Path, link: &[u8]) -> Option<PathBuf> {
    let mut target = path.parent()?.to_owned();
    let mut rest = link;
    while let Some(after) = rest.strip_prefix(b"../") {
        target.pop();
        rest = after;
    }
    Some(target.join(clean(rest)?))
}

/// A part of a file, read without moving the file's own position.
struct Section<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self
            .file
            .read_at(buf.get_mut(..want).unwrap_or_default(), self.at)?;
        if n == 0 && want > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at = self.at.saturating_add(n as u64);
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}
