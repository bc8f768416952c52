use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// A note on disk of the upload that is under way: a server keeps the parts of one that is never ended, and asks to be paid
/// for them. One upload at a time.
#[derive(Debug, Clone)]
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// The note is the file at `path`.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The upload's object and number, where one was not ended.
    pub(crate) fn read(&self) -> io::Result<Option<(String, String)>> {
        match fs::read_to_string(&self.0) {
            Ok(text) => {
                let mut lines = text.lines();
                Ok(lines
                    .next()
                    .zip(lines.next())
                    .map(|(key, id)| (key.to_owned(), id.to_owned())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn note(&self, key: &str, id: &str) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.0)?;
        file.write_all(format!("{key}\n{id}\n").as_bytes())?;
        file.sync_all()
    }

    pub(crate) fn clear(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
