//! Reservations on disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}")]
pub struct StoreError {
    attempted: String,
    source: io::Error,
}

/// Who holds an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The container.
    pub container_id: String,
    /// Its interface.
    pub ifname: String,
}

impl Owner {
    fn text(&self) -> String {
        format!("{}\r\n{}", self.container_id, self.ifname)
    }

    fn read(text: &str) -> Self {
        let (container_id, ifname) = text.split_once("\r\n").unwrap_or((text, ""));
        Self {
            container_id: container_id.trim().to_owned(),
            ifname: ifname.trim().to_owned(),
        }
    }
}

/// The reservations of one network, locked as long as this value lives.
#[derive(Debug)]
pub struct Reservations {
    folder: PathBuf,
    held: BTreeMap<IpAddr, Owner>,
    _lock: File,
}

impl Reservations {
    /// Waits for the lock of `folder` (made where there is none) and reads what is reserved.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read or written.
    pub fn lock(folder: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError {
            attempted: format!("lock the reservations in {}", folder.display()),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        let held = read(folder).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            held,
            _lock: lock,
        })
    }

    /// Every reserved address with its owner.
    #[must_use]
    pub fn held(&self) -> &BTreeMap<IpAddr, Owner> {
        &self.held
    }

    /// The addresses that `owner` holds.
    #[must_use]
    pub fn of(&self, owner: &Owner) -> Vec<IpAddr> {
        self.held
            .iter()
            .filter(|(_, held)| *held == owner)
            .map(|(ip, _)| *ip)
            .collect()
    }

    /// Where the last search in range set `set` ended.
    #[must_use]
    pub fn last(&self, set: usize) -> Option<IpAddr> {
        fs::read_to_string(self.last_path(set)).ok()?.trim().parse().ok()
    }

    /// Reserves `ip`, which must be free, and remembers it as the last of range set `set`.
    ///
    /// # Errors
    ///
    /// When the files cannot be written; nothing is reserved then.
    pub fn reserve(&mut self, ip: IpAddr, owner: &Owner, set: usize) -> Result<(), StoreError> {
        let path = self.path(ip);
        let failed = |source| StoreError {
            attempted: format!("reserve {ip} in {}", path.display()),
            source,
        };
        let written =
            write_new(&path, &owner.text()).and_then(|()| overwrite(&self.last_path(set), &ip.to_string()));
        if let Err(e) = written {
            drop(fs::remove_file(&path));
            return Err(failed(e));
        }
        self.held.insert(ip, owner.clone());
        Ok(())
    }

    /// Frees every address whose owner `unwanted` picks; goes on after a failure and reports the first.
    ///
    /// # Errors
    ///
    /// When a file cannot be removed.
    pub fn release(&mut self, unwanted: impl Fn(&Owner) -> bool) -> Result<(), StoreError> {
        let doomed: Vec<IpAddr> = self
            .held
            .iter()
            .filter(|(_, o)| unwanted(o))
            .map(|(ip, _)| *ip)
            .collect();
        let mut first = Ok(());
        for ip in doomed {
            let path = self.path(ip);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    first = first.and(Err(StoreError {
                        attempted: format!("free {ip} in {}", path.display()),
                        source,
                    }));
                }
                _ => drop(self.held.remove(&ip)),
            }
        }
        first
    }

    /// Colons become underscores, as upstream names files of IPv6 addresses.
    fn path(&self, ip: IpAddr) -> PathBuf {
        self.folder.join(ip.to_string().replace(':', "_"))
    }

    fn last_path(&self, set: usize) -> PathBuf {
        self.folder.join(format!("last_reserved_ip.{set}"))
    }
}

fn read(folder: &Path) -> io::Result<BTreeMap<IpAddr, Owner>> {
    let mut held = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().replace('_', ":");
        if let Ok(ip) = name.parse() {
            held.insert(ip, Owner::read(&fs::read_to_string(entry.path())?));
        }
    }
    Ok(held)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    File::options()
        .write(true)
        .create_new(true)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Writes without truncating first: ext4 takes a file that is emptied and written for one that must
/// be on the disk at once, which holds every ADD up. One cut off in between has the end of a longer
/// text behind the new one: it may be no address, or another one of the range, and the search begins
/// there or anew. It is only a hint where to begin: no address is given that is held.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len().try_into().unwrap_or(u64::MAX))
}
