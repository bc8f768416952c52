use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Joins a field's number, length and bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    out.extend_from_slice(bytes);
    out
}

fn envelope(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), field(1, &type_meta), field(2, message)].concat()
}

#[test]
fn what_kubectl_sends_for_a_config_map_is_read() {
    // As `kubectl create configmap a --from-literal=x=1` of version 1.35 sends it.
    let metadata = [
        &field(1, b"a")[..],
        b"\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00",
    ]
    .concat();
    let entry = [field(1, b"x"), field(2, b"1")].concat();
    let body = envelope(
        "v1",
        "ConfigMap",
        &[field(1, &metadata), field(2, &entry)].concat(),
    );
    let expected =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
    assert_eq!(decode(&body).unwrap(), expected);
}

#[test]
fn inlined_members_and_special_types_take_their_json_form() {
    // spec.volumes[0] = {name: "v", emptyDir: {sizeLimit: "1Gi"}}; the source is inlined as field 2.
    let empty_dir = field(2, &field(1, b"1Gi"));
    let volume = [field(1, b"v"), field(2, &field(2, &empty_dir))].concat();
    let body = envelope("v1", "Pod", &field(2, &field(1, &volume)));
    let pod = decode(&body).unwrap();
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}])
    );
    assert_eq!(int_or_string(&[8, 1, 26, 3, b'2', b'5', b'%']).unwrap(), "25%");
    assert_eq!(int_or_string(&[8, 0, 16, 80]).unwrap(), 80);
    assert_eq!(instant(&[8, 1], time::format).unwrap(), "1970-01-01T00:00:01Z");
    assert_eq!(instant(&[], time::format).unwrap(), Value::Null);
}

#[test]
fn what_is_no_message_is_a_400() {
    for body in [&b""[..], b"{}", b"k8s\0\xff", b"k8s\0\x0a\x7f"] {
        assert_eq!(decode(body).unwrap_err().code(), 400);
    }
    assert_eq!(decode(&envelope("v1", "Unheard", b"")).unwrap_err().code(), 400);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_or_loop(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let decoded = decode(&[MAGIC, &bytes].concat());
        prop_assert!(decoded.is_err() || decoded.is_ok_and(|object| object.is_object()));
        let pod = message("core.Pod", &bytes, DEPTH);
        prop_assert!(pod.is_err() || !bytes.is_empty() || pod.is_ok_and(|pod| pod.is_empty()));
    }
}
