use std::collections::BTreeSet;
use std::path::Path;

use cni_plugins_spec::Environment;
use serde_json::{Value, json};

use super::*;

fn call_for(dir: &Path, id: &str, changes: Value) -> Call {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "net", "type": "bridge",
        "ipam": {"type": "host-local", "dataDir": dir, "ranges": [[{"subnet": "10.9.0.0/29"}]], "routes": [{"dst": "0.0.0.0/0"}]},
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let lookup = |name: &str| match name {
        "CNI_COMMAND" => Some("ADD".to_owned()),
        "CNI_CONTAINERID" => Some(id.to_owned()),
        "CNI_IFNAME" => Some("eth0".to_owned()),
        _ => Some("/x".to_owned()),
    };
    let lookup = |name: &str| if name == "CNI_ARGS" { None } else { lookup(name) };
    Call::new(Environment::read(lookup).unwrap(), config.to_string().as_bytes()).unwrap()
}

fn call(dir: &Path, id: &str) -> Call {
    call_for(dir, id, json!({}))
}

fn first(result: &Success) -> String {
    result.ips[0].address.to_string()
}

#[test]
fn an_address_comes_with_gateway_and_routes_and_lies_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let result = HostLocal.add(&call(dir.path(), "one")).unwrap();
    assert_eq!(first(&result), "10.9.0.2/29");
    assert_eq!(result.ips[0].gateway.unwrap().to_string(), "10.9.0.1");
    assert_eq!(result.routes.len(), 1);
    assert_eq!(
        std::fs::read_to_string(dir.path().join("net/10.9.0.2")).unwrap(),
        "one\r\neth0"
    );
    assert_eq!(
        std::fs::read_to_string(dir.path().join("net/last_reserved_ip.0")).unwrap(),
        "10.9.0.2"
    );
}

#[test]
fn add_again_gives_the_same_and_del_again_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let call = call(dir.path(), "one");
    assert_eq!(HostLocal.add(&call).unwrap(), HostLocal.add(&call).unwrap());
    HostLocal.check(&call).unwrap();
    HostLocal.del(&call).unwrap();
    HostLocal.del(&call).unwrap();
    assert_eq!(u32::from(HostLocal.check(&call).unwrap_err().code), 102);
}

#[test]
fn a_freed_address_is_not_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    HostLocal.add(&call(dir.path(), "one")).unwrap();
    HostLocal.del(&call(dir.path(), "one")).unwrap();
    assert_eq!(
        first(&HostLocal.add(&call(dir.path(), "two")).unwrap()),
        "10.9.0.3/29"
    );
}

#[test]
fn exhaustion_is_an_error_of_its_own_and_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..5 {
        HostLocal.add(&call(dir.path(), &format!("c{n}"))).unwrap();
    }
    let error = HostLocal.add(&call(dir.path(), "late")).unwrap_err();
    assert_eq!(error.code, ErrorCode::EXHAUSTED);
    assert!(error.msg.contains("10.9.0.0/29"), "{error}");
    assert_eq!(
        u32::from(HostLocal.status(&call(dir.path(), "x")).unwrap_err().code),
        51
    );
    HostLocal.del(&call(dir.path(), "c3")).unwrap();
    assert_eq!(
        first(&HostLocal.add(&call(dir.path(), "late")).unwrap()),
        "10.9.0.5/29"
    );
}

#[test]
fn a_second_family_that_is_exhausted_frees_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let both = |id: &str| {
        let sets = json!([[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00::/126"}]]);
        call_for(
            dir.path(),
            id,
            json!({"ipam": {"dataDir": dir.path(), "ranges": sets}}),
        )
    };
    assert_eq!(HostLocal.add(&both("a")).unwrap().ips.len(), 2);
    HostLocal.add(&both("b")).unwrap();
    assert_eq!(HostLocal.add(&both("c")).unwrap_err().code, ErrorCode::EXHAUSTED);
    assert!(!dir.path().join("net/10.9.0.4").exists());
    assert!(dir.path().join("net/fd00__2").exists());
}

#[test]
fn gc_frees_all_but_the_valid_attachments() {
    let dir = tempfile::tempdir().unwrap();
    for id in ["keep", "drop"] {
        HostLocal.add(&call(dir.path(), id)).unwrap();
    }
    let valid = json!({"cni.dev/valid-attachments": [{"containerID": "keep", "ifname": "eth0"}]});
    HostLocal.gc(&call_for(dir.path(), "x", valid)).unwrap();
    assert!(dir.path().join("net/10.9.0.2").exists() && !dir.path().join("net/10.9.0.3").exists());
}

#[test]
fn a_requested_address_is_given_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wish = |id: &str, ip: &str| call_for(dir.path(), id, json!({"runtimeConfig": {"ips": [ip]}}));
    assert_eq!(
        first(&HostLocal.add(&wish("a", "10.9.0.6")).unwrap()),
        "10.9.0.6/29"
    );
    assert!(HostLocal.add(&wish("b", "10.9.0.6")).is_err());
    assert!(HostLocal.add(&wish("b", "10.99.0.6")).is_err());
    assert_eq!(std::fs::read_dir(dir.path().join("net")).unwrap().count(), 3);
}

#[test]
fn adds_at_the_same_time_never_share_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let given: BTreeSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..5)
            .map(|n| scope.spawn(move || first(&HostLocal.add(&call(path, &format!("c{n}"))).unwrap())))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(given.len(), 5);
}
