use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::message::Chunk;

/// A snapshot that comes in pieces, in order.
#[derive(Debug)]
pub(crate) struct Incoming {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    snapshot: String,
    file: File,
    offset: u64,
}

impl Incoming {
    pub(crate) fn into(folder: &Path) -> Self {
        Self {
            path: folder.join("incoming"),
            open: None,
        }
    }

    /// Takes a piece; the file, once it was the last. A first piece begins anew, whatever came before.
    ///
    /// # Errors
    ///
    /// Where the piece does not follow the one before, or cannot be written.
    pub(crate) fn take(&mut self, chunk: &Chunk) -> io::Result<Option<PathBuf>> {
        if chunk.offset == 0 {
            self.open = Some(Open {
                snapshot: chunk.meta.snapshot_id.clone(),
                file: self.create()?,
                offset: 0,
            });
        }
        let follows =
            |open: &&mut Open| open.offset == chunk.offset && open.snapshot == chunk.meta.snapshot_id;
        let Some(open) = self.open.as_mut().filter(follows) else {
            self.open = None;
            return Err(io::Error::other(
                "a piece of a snapshot does not follow the one before",
            ));
        };
        open.file.write_all(&chunk.data)?;
        open.offset += chunk.data.len() as u64;
        if !chunk.done {
            return Ok(None);
        }
        open.file.sync_all()?;
        self.open = None;
        Ok(Some(self.path.clone()))
    }

    fn create(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.path)
    }
}
