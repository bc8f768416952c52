//! Kernel settings of links and families.

use std::io;

use crate::error::NetlinkError;

/// Makes the setting `key`, a path below `/proc/sys`, be `value`. A family that the kernel does not have
/// needs no setting. What is right already is not written: `/proc/sys` may be read-only.
///
/// # Errors
///
/// When it cannot be written.
pub fn set_sysctl(key: &str, value: &str) -> Result<(), NetlinkError> {
    let path = format!("/proc/sys/{key}");
    match std::fs::read_to_string(&path) {
        Ok(now) if now.trim() == value => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    std::fs::write(&path, value).map_err(|error| NetlinkError::io(format!("write {value} to {path}"), error))
}
