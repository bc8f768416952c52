use std::io;

#[cfg(feature = "sim")]
pub mod contract;
mod real;
#[cfg(feature = "sim")]
mod sim;

pub use real::RealDisk;
#[cfg(feature = "sim")]
pub use sim::{Fault, SimDisk, SimFile};

/// The files beneath one folder, as the log needs them.
///
/// Both implementations pass the suite in `contract`. Names are plain file names, chosen by the log.
pub trait Disk: Send + 'static {
    /// An open file.
    type File: DiskFile;

    /// The names of all files, in order.
    ///
    /// # Errors
    ///
    /// Fails where the folder cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file. It is there after a power cut once [`Disk::sync`] has returned.
    ///
    /// # Errors
    ///
    /// Refuses a name that exists.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that exists.
    ///
    /// # Errors
    ///
    /// Fails where there is none.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, replacing what had it; open files stay what they are.
    ///
    /// # Errors
    ///
    /// Fails where there is no file `from`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Fails where there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every name that was created, changed or removed so far survive a power cut.
    ///
    /// # Errors
    ///
    /// After a failure it is unknown which did.
    fn sync(&self) -> io::Result<()>;
}

/// A file of a [`Disk`].
pub trait DiskFile: Send + 'static {
    /// Bytes in it.
    ///
    /// # Errors
    ///
    /// Passes on what the system says.
    fn size(&self) -> io::Result<u64>;

    /// Reads from `offset` and returns how much: less than `into` holds only at the end of the file.
    ///
    /// # Errors
    ///
    /// Passes on what the system says.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`; a gap before it reads as zeros.
    ///
    /// # Errors
    ///
    /// After a failure any part of it may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file's bytes and size survive a power cut.
    ///
    /// # Errors
    ///
    /// After a failure it is unknown which bytes do, and a later success does not say that these do.
    fn sync(&self) -> io::Result<()>;
}
