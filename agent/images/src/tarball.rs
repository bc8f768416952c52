//! Reads tar streams member by member.
//!
//! The headers are those of the `tar` crate. Its own iterator is not used: it takes a newline
//! inside a binary attribute (`security.capability`) for the end of the record, and reads
//! extension headers of any length into memory.

use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::tree::Meta;

const BLOCK: u64 = 512;
/// Longest extension header (long names, extended attributes) that is read.
const MAX_EXTENSION: u64 = 1 << 20;
const XATTR: &[u8] = b"SCHILY.xattr.";

/// A member of a tar stream.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryType,
    pub(crate) meta: Meta,
    pub(crate) size: u64,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The members of a tar stream; reading from it reads the data of the current one.
pub(crate) struct Members<R> {
    inner: R,
    position: u64,
    data: u64,
    padding: u64,
}

/// What extension headers say of the member that follows them.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<i64>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<R: Read> Members<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            position: 0,
            data: 0,
            padding: 0,
        }
    }

    /// The stream behind; what of it was not read is still there.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// Bytes from the beginning of the stream to what is read next.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Skips the rest of the current member and reads the header of the next.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let kind = header.entry_type();
            self.expect_data(header.entry_size()?);
            match kind {
                EntryType::GNULongName => extensions.path = Some(c_string(self.extension()?)),
                EntryType::GNULongLink => extensions.link = Some(c_string(self.extension()?)),
                EntryType::XHeader => extensions.read(&self.extension()?)?,
                EntryType::XGlobalHeader => drop(self.extension()?),
                EntryType::GNUSparse => return Err(bad("it is a GNU sparse member, which is not supported")),
                _ => return self.member(&header, extensions).map(Some),
            }
        }
    }

    fn member(&mut self, header: &Header, extensions: Extensions) -> io::Result<Member> {
        let path = extensions
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extensions
            .link
            .or_else(|| header.link_name_bytes().map(Into::into))
            .unwrap_or_default();
        let kind = kind_of(header.entry_type(), &path);
        let size = if has_data(kind) {
            extensions.size.map_or_else(|| header.entry_size(), Ok)?
        } else {
            0
        };
        self.expect_data(size);
        let meta = Meta {
            uid: extensions.uid.map_or_else(
                || filled(&header.as_old().uid, || header.uid()).and_then(narrow),
                Ok,
            )?,
            gid: extensions.gid.map_or_else(
                || filled(&header.as_old().gid, || header.gid()).and_then(narrow),
                Ok,
            )?,
            mode: filled(&header.as_old().mode, || header.mode())?,
            mtime: extensions.mtime.map_or_else(
                || filled(&header.as_old().mtime, || header.mtime()).map(seconds),
                Ok,
            )?,
        };
        let number = |n: io::Result<Option<u32>>| n.ok().flatten().unwrap_or(0);
        let device = (number(header.device_major()), number(header.device_minor()));
        Ok(Member {
            path,
            link,
            kind,
            meta,
            size,
            device,
            xattrs: extensions.xattrs,
        })
    }

    /// The next header block; `None` at the end of the archive.
    fn header(&mut self) -> io::Result<Option<Header>> {
        self.skip()?;
        let mut header = Header::new_old();
        let read = read_full(&mut self.inner, header.as_mut_bytes())?;
        self.position = self.position.saturating_add(read as u64);
        if read == 0 || header.as_bytes().iter().all(|b| *b == 0) {
            return Ok(None);
        }
        if read < header.as_bytes().len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if header.cksum()? != checksum(header.as_bytes()) {
            return Err(bad("the checksum of a tar header is wrong"));
        }
        Ok(Some(header))
    }

    fn expect_data(&mut self, size: u64) {
        self.data = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }

    fn skip(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink())?;
        let padding = std::mem::take(&mut self.padding);
        let skipped = io::copy(&mut (&mut self.inner).take(padding), &mut io::sink())?;
        self.position = self.position.saturating_add(skipped);
        Ok(())
    }

    fn extension(&mut self) -> io::Result<Vec<u8>> {
        if self.data > MAX_EXTENSION {
            return Err(bad("a tar extension header is over 1 MiB"));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = (&mut self.inner).take(self.data).read(buf)?;
        if n == 0 && self.data > 0 && !buf.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.data = self.data.saturating_sub(n as u64);
        self.position = self.position.saturating_add(n as u64);
        Ok(n)
    }
}

impl Extensions {
    /// Reads `<length> <key>=<value>\n` records (POSIX pax, "Extended Header").
    fn read(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            let malformed = || bad("a pax extension header is malformed");
            let space = rest.iter().position(|b| *b == b' ').ok_or_else(malformed)?;
            let (digits, _) = rest.split_at_checked(space).ok_or_else(malformed)?;
            let length: usize = number(digits).ok_or_else(malformed)?;
            let (record, after) = rest.split_at_checked(length).ok_or_else(malformed)?;
            let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
            let record = record.get(space.saturating_add(1)..).ok_or_else(malformed)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(malformed)?;
            let (key, value) = record.split_at_checked(equals).ok_or_else(malformed)?;
            self.set(key, value.get(1..).ok_or_else(malformed)?)?;
            rest = after;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let malformed = || bad("a number in a pax extension header is malformed");
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value).ok_or_else(malformed)?),
            b"uid" => self.uid = Some(number(value).ok_or_else(malformed)?),
            b"gid" => self.gid = Some(number(value).ok_or_else(malformed)?),
            // Fractions of a second are cut off.
            b"mtime" => self.mtime = value.split(|b| *b == b'.').next().and_then(number),
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err(bad("it is a GNU sparse member, which is not supported"));
            }
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// An old archive marks a folder by a slash at the end only.
fn kind_of(kind: EntryType, path: &[u8]) -> EntryType {
    match kind {
        EntryType::Regular if path.ends_with(b"/") => EntryType::Directory,
        EntryType::Continuous => EntryType::Regular,
        other => other,
    }
}

/// Kinds that are a header only, whatever size the header tells.
fn has_data(kind: EntryType) -> bool {
    !matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

fn read_full(reader: &mut impl Read, mut buf: &mut [u8]) -> io::Result<usize> {
    let mut total = 0_usize;
    while !buf.is_empty() {
        match reader.read(buf) {
            Ok(0) => break,
            Ok(n) => {
                total = total.saturating_add(n);
                buf = buf.get_mut(n..).unwrap_or_default();
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(total)
}

/// Sum of a header's bytes, its checksum field counted as blanks.
fn checksum(header: &[u8; 512]) -> u32 {
    let value = |(i, b): (usize, &u8)| {
        if (148..156).contains(&i) {
            u32::from(b' ')
        } else {
            u32::from(*b)
        }
    };
    header.iter().enumerate().map(value).sum()
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A field of blanks is zero, as every tar reads it.
fn filled<T: Default>(field: &[u8], read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if field.iter().all(|b| matches!(b, 0 | b' ')) {
        Ok(T::default())
    } else {
        read()
    }
}

fn seconds(mtime: u64) -> i64 {
    i64::try_from(mtime).unwrap_or(0)
}

fn narrow(id: u64) -> io::Result<u32> {
    u32::try_from(id).map_err(|_| bad("an owner's number is over 32 bits"))
}

fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|b| *b == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn bad(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_pax(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions(records.iter().copied()).unwrap();
        let mut header = Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o644);
        builder.append_data(&mut header, "file", &b"abc"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_newline_in_an_attribute_ends_nothing() {
        let value = b"\x01\n\n3 a=\n";
        let tar = with_pax(&[
            ("SCHILY.xattr.security.capability", value),
            ("path", b"other/name"),
            ("uid", b"70000"),
        ]);
        let member = Members::new(&tar[..]).next().unwrap().unwrap();
        assert_eq!(member.xattrs, [(b"security.capability".to_vec(), value.to_vec())]);
        assert_eq!(member.path, b"other/name");
        assert_eq!(member.meta.uid, 70000);
    }

    #[test]
    fn unread_data_is_skipped_and_positions_are_those_of_the_stream() {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, data) in [
            ("a".repeat(200), vec![1_u8; 700]),
            ("b".to_owned(), vec![2_u8; 3]),
        ] {
            let mut header = Header::new_gnu();
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, name, &data[..]).unwrap();
        }
        let tar = builder.into_inner().unwrap();
        let mut members = Members::new(&tar[..]);
        assert_eq!(members.next().unwrap().unwrap().path, "a".repeat(200).as_bytes());
        assert_eq!(members.next().unwrap().unwrap().path, b"b");
        let at = usize::try_from(members.position()).unwrap();
        assert_eq!(&tar[at..at + 3], [2, 2, 2]);
        assert!(members.next().unwrap().is_none());
    }

    #[test]
    fn a_cut_off_archive_is_an_error() {
        let tar = with_pax(&[]);
        let mut members = Members::new(&tar[..513]);
        members.next().unwrap();
        assert_eq!(members.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_huge_extension_header_is_refused_unread() {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(1 << 40);
        header.set_cksum();
        assert!(Members::new(&header.as_bytes()[..]).next().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0_u8.., 0..2048)) {
            let mut members = Members::new(&bytes[..]);
            while let Ok(Some(_)) = members.next() {}
        }
    }
}
