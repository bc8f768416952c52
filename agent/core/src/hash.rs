//! The hash that tells whether a bundle was made from the container's present spec.

use k8s_openapi::api::core::v1::Container;

/// Hash of what may change in a live pod's container and needs a new one: name and image.
///
/// All else of a container is immutable or resizable in place. Hashing the whole spec would restart
/// every pod after an upgrade that adds a default.
#[must_use]
pub fn spec_hash(container: &Container) -> String {
    let image = container.image.as_deref().unwrap_or_default();
    let bytes = container.name.bytes().chain([0]).chain(image.bytes());
    format!("{:016x}", fnv1a(bytes))
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(image: &str) -> Container {
        Container {
            name: "c".to_owned(),
            image: Some(image.to_owned()),
            ..Container::default()
        }
    }

    #[test]
    fn another_image_is_another_hash() {
        assert_ne!(spec_hash(&container("a")), spec_hash(&container("b")));
    }

    #[test]
    fn a_defaulted_field_changes_nothing() {
        let mut defaulted = container("a");
        defaulted.termination_message_policy = Some("File".to_owned());
        assert_eq!(spec_hash(&container("a")), spec_hash(&defaulted));
    }

    #[test]
    fn the_hash_never_changes_between_versions() {
        assert_eq!(spec_hash(&container("a")), "f7260e190df73bd5");
    }
}
