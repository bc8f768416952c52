//! Zeros, inlined members, and input that nobody should send.

use controlplane_protobuf::{DecodeError, decode};
use proptest::prelude::*;
use serde_json::json;

/// A field of bytes: number, length, bytes.
#[expect(clippy::unwrap_used, reason = "the tests write short fields only")]
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    out.extend_from_slice(bytes);
    out
}

fn body(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, message)].concat()
}

#[test]
fn a_zero_that_was_set_is_kept_and_one_that_was_not_is_left_out() {
    // replicas is a pointer in Go, minReadySeconds and paused are not.
    let spec = [8, 0, 0x28, 0, 0x38, 0];
    let scaled_down = decode(&body("apps/v1", "Deployment", &field(2, &spec))).unwrap();
    assert_eq!(scaled_down["spec"], json!({"replicas": 0}));

    let options = decode(&body("apps/v1", "DeleteOptions", &[8, 0])).unwrap();
    assert_eq!(
        options,
        json!({"apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})
    );

    // storageClassName: "" asks for no class; the volume name after it is merely unset.
    let claim = [field(5, b""), field(3, b"")].concat();
    let claim = decode(&body("v1", "PersistentVolumeClaim", &field(2, &claim))).unwrap();
    assert_eq!(claim["spec"], json!({"storageClassName": ""}));
}

#[test]
fn an_empty_object_is_kept_where_it_says_something() {
    // A volume {name: "v", emptyDir: {}}: the source is inlined as field 2, and its emptyDir is a pointer.
    let volume = [field(1, b"v"), field(2, &field(2, b""))].concat();
    // A container {name: "c", resources: {}}: every sender has resources.
    let container = [field(1, b"c"), field(8, b"")].concat();
    let spec = [field(1, &volume), field(2, &container)].concat();
    let pod = decode(&body("v1", "Pod", &field(2, &spec))).unwrap();
    let expected = json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c"}]});
    assert_eq!(pod["spec"], expected);
}

#[test]
fn maps_hold_bytes_quantities_and_lists() {
    let secret = field(2, &[field(1, b"k"), field(2, b"\xff")].concat());
    assert_eq!(
        decode(&body("v1", "Secret", &secret)).unwrap()["data"],
        json!({"k": "/w=="})
    );

    let limits = field(1, &[field(1, b"cpu"), field(2, &field(1, b"500m"))].concat());
    let container = [field(1, b"c"), field(8, &limits)].concat();
    let pod = decode(&body("v1", "Pod", &field(2, &field(2, &container)))).unwrap();
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m"}})
    );

    let names = [field(1, b"a"), field(1, b"b")].concat();
    let extra = field(6, &[field(1, b"scopes"), field(2, &names)].concat());
    let request = body(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        &field(2, &extra),
    );
    assert_eq!(
        decode(&request).unwrap()["spec"]["extra"],
        json!({"scopes": ["a", "b"]})
    );
}

#[test]
fn numbers_in_a_list_are_read_packed_or_one_by_one() {
    // securityContext of a Pod (field 14), supplementalGroups (field 4).
    for groups in [&[0x20, 5, 0x20, 6][..], &[0x22, 2, 5, 6]] {
        let pod = decode(&body("v1", "Pod", &field(2, &field(14, groups)))).unwrap();
        assert_eq!(
            pod["spec"]["securityContext"],
            json!({"supplementalGroups": [5, 6]})
        );
    }
}

#[test]
fn fields_that_are_not_known_are_left_out() {
    let map = decode(&body("v1", "ConfigMap", &field(15, b"new"))).unwrap();
    assert_eq!(map, json!({"apiVersion": "v1", "kind": "ConfigMap"}));
}

#[test]
fn what_is_no_message_is_refused_by_name() {
    let refused = |bytes: &[u8]| decode(bytes).unwrap_err();
    assert_eq!(refused(b""), DecodeError::Magic);
    assert_eq!(refused(b"{}"), DecodeError::Magic);
    assert_eq!(refused(b"k8s\0\x0a\x7f"), DecodeError::Truncated);
    assert_eq!(refused(b"k8s\0\x0b"), DecodeError::WireType(3));
    assert_eq!(
        refused(&body("v1", "Pod", &[0x12, 3, 0x08])),
        DecodeError::Truncated
    );
    assert_eq!(refused(&body("v1", "Pod", &[0x08, 1])), DecodeError::Mismatch);
    let name = field(1, &field(1, b"\xff"));
    assert_eq!(refused(&body("v1", "Pod", &name)), DecodeError::NotText);
    assert_eq!(
        refused(&body("example.org/v1", "Widget", b"")).to_string(),
        "no kind \"Widget\" in version \"example.org/v1\" is known"
    );
    let compressed = [body("v1", "Pod", b""), field(3, b"gzip")].concat();
    assert_eq!(refused(&compressed), DecodeError::Inside("gzip".to_owned()));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let envelope = decode(&[b"k8s\0", &bytes[..]].concat());
        prop_assert!(envelope.is_err() || envelope.is_ok_and(|object| object.is_object()));
        let pod = decode(&body("v1", "Pod", bytes.get(..100).unwrap_or(&bytes)));
        prop_assert!(pod.is_err() || pod.is_ok_and(|object| object["kind"] == "Pod"));
    }

    #[test]
    fn a_damaged_message_is_read_or_refused(place in 0_usize..210, byte in any::<u8>(), end in 0_usize..=210) {
        let whole = include_bytes!("captured/deployments.bin");
        let mut bytes = whole.to_vec();
        if let Some(target) = bytes.get_mut(place) {
            *target = byte;
        }
        bytes.truncate(end);
        let decoded = decode(&bytes);
        prop_assert!(decoded.is_err() || decoded.is_ok_and(|object| object.is_object()));
    }
}
