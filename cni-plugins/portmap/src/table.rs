//! The table in the kernel, for one caller at a time.

use std::fs::File;
use std::path::Path;

use cni_plugins_nft::{Change, Element, KernelFlows, KernelRuleset, NftError, Ruleset as _};
use cni_plugins_spec::{CniError, ErrorCode};
use rustix::fs::{FlockOperation, flock};

use crate::settings::Settings;
use crate::stale;
use crate::structure::{comments, sets, structure, table_name};

/// Where locks lie; they end with their holders, and the folder with the reboot.
const LOCKS: &str = "/run/floe/cni";

/// The host ports of one network, locked as long as this value lives: what is listed stays so until it
/// is changed.
pub(crate) struct Table {
    rules: KernelRuleset,
    _lock: File,
}

impl Table {
    /// Waits for the lock of `network`.
    ///
    /// # Errors
    ///
    /// When the lock or the kernel cannot be reached.
    pub(crate) fn lock(network: &str) -> Result<Self, CniError> {
        let path = Path::new(LOCKS).join(format!("portmap-{network}.lock"));
        let locked = std::fs::create_dir_all(LOCKS).and_then(|()| {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        });
        let lock =
            locked.map_err(|e| CniError::new(ErrorCode::SYSTEM, format!("lock {}: {e}", path.display())))?;
        Ok(Self {
            rules: KernelRuleset::open_table(&table_name(network)).map_err(|e| system(&e))?,
            _lock: lock,
        })
    }

    /// Whether the rules are as `settings` want them.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    pub(crate) fn holds(&self, settings: &Settings) -> Result<bool, CniError> {
        for (name, chain) in &structure(settings).chains {
            if self.rules.comments(name).map_err(|e| system(&e))? != comments(chain) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the rules as `settings` want them; runs `nft` only where they are not. Says whether it did.
    ///
    /// # Errors
    ///
    /// When `nft` is missing or refuses.
    pub(crate) fn ensure(&mut self, settings: &Settings) -> Result<bool, CniError> {
        if self.holds(settings)? {
            return Ok(false);
        }
        let wanted = structure(settings);
        let made = match self.rules.load(&wanted) {
            // Another version made maps of other types.
            Err(NftError::Refused { .. }) => self.rules.replace(&wanted),
            done => done,
        };
        made.map(|()| true).map_err(|e| system(&e))
    }

    /// Every element; none where there is no table.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    pub(crate) fn elements(&mut self) -> Result<Vec<Element>, CniError> {
        let mut found = Vec::new();
        for (name, spec) in sets() {
            found.append(&mut self.rules.elements(&name, &spec).map_err(|e| system(&e))?);
        }
        Ok(found)
    }

    /// Makes `changes` in one transaction, and forgets the flows that they leave behind.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(crate) fn change(&mut self, changes: &[Change]) -> Result<(), CniError> {
        self.rules.change(changes).map_err(|e| system(&e))?;
        let changed = stale::changed(changes);
        if changed.is_empty() {
            return Ok(());
        }
        KernelFlows::open()
            .and_then(|mut flows| stale::forget(&changed, &mut flows))
            .map(drop)
            .map_err(|e| system(&e))
    }
}

fn system(error: &NftError) -> CniError {
    CniError::system(error)
}
