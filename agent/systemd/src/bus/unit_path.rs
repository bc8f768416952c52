//! Object paths of units.

use crate::UnitName;

const PREFIX: &str = "/org/freedesktop/systemd1/unit/";

/// The unit an object path stands for, such as `/org/freedesktop/systemd1/unit/floe_2dpods_2eslice`.
pub(super) fn unit_of(path: &str) -> Option<UnitName> {
    let escaped = path.strip_prefix(PREFIX)?.as_bytes();
    let mut name = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'_' {
            name.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        name.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    UnitName::parse(std::str::from_utf8(&name).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_path_gives_the_unit_back() {
        let path = "/org/freedesktop/systemd1/unit/floe_2ddefault_3aweb_2d0_3a1a2b3c4d_3anginx_2eservice";
        assert_eq!(
            unit_of(path).unwrap().as_str(),
            "floe-default:web-0:1a2b3c4d:nginx.service"
        );
    }

    #[test]
    fn paths_of_other_things_are_none() {
        assert_eq!(unit_of("/org/freedesktop/systemd1/job/12"), None);
        assert_eq!(unit_of("/org/freedesktop/systemd1/unit/a_2"), None);
        assert_eq!(unit_of("/org/freedesktop/systemd1/unit/dev_2dvda_2edevice"), None);
    }
}
