use std::collections::BTreeMap;

use super::*;
use crate::result::{Interface, IpConfig};

struct Fixed;

impl Plugin for Fixed {
    fn add(&self, call: &Call) -> Result<Success, CniError> {
        let interface = Interface {
            name: call.environment.ifname.clone(),
            mtu: Some(1400),
            ..Interface::default()
        };
        let ip = IpConfig {
            interface: Some(0),
            address: "10.1.2.3/24".parse().unwrap(),
            gateway: None,
        };
        Ok(Success {
            interfaces: vec![interface],
            ips: vec![ip],
            ..Success::default()
        })
    }
    fn del(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }
    fn check(&self, _: &Call) -> Result<(), CniError> {
        Err(CniError::new(ErrorCode::CHECK_FAILED, "it is gone"))
    }
    fn gc(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }
    fn status(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }
}

fn call_with(changes: &[(&str, &str)], stdin: &str) -> Output {
    let mut variables: BTreeMap<&str, &str> = BTreeMap::from([
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "pod-1"),
        ("CNI_NETNS", "/run/netns/x"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/usr/lib/cni"),
    ]);
    variables.extend(changes.iter().copied());
    run(
        &Fixed,
        |name| variables.get(name).map(ToString::to_string),
        stdin.as_bytes(),
    )
}

fn code(output: &Output) -> u64 {
    assert!(!output.success);
    output.stdout.as_ref().unwrap()["code"].as_u64().unwrap()
}

const CONFIG: &str = r#"{"cniVersion":"1.1.0","name":"net","type":"fixed"}"#;

#[test]
fn a_result_is_written_in_the_version_that_was_asked_for() {
    let result = |version: &str| call_with(&[], &CONFIG.replace("1.1.0", version)).stdout.unwrap();
    assert_eq!(result("1.1.0")["interfaces"][0]["mtu"], 1400);
    assert_eq!(result("1.0.0")["interfaces"][0]["mtu"], Value::Null);
    assert_eq!(result("1.0.0")["ips"][0]["version"], Value::Null);
    for old in ["0.3.1", "0.4.0"] {
        assert_eq!(result(old)["ips"][0]["version"], "4");
        assert_eq!(result(old)["cniVersion"], old);
    }
}

#[test]
fn results_of_every_version_are_read_back() {
    for version in Version::ALL {
        let written = call_with(&[], &CONFIG.replace("1.1.0", version.as_str()))
            .stdout
            .unwrap();
        assert_eq!(
            Success::parse(&written).unwrap().ips[0].address.to_string(),
            "10.1.2.3/24"
        );
    }
    assert!(Success::parse(&json!({"cniVersion": "0.2.0", "ip4": {}})).is_err());
}

#[test]
fn version_is_answered_without_a_configuration() {
    let output = call_with(&[("CNI_COMMAND", "VERSION")], "");
    assert!(
        output.stdout.unwrap()["supportedVersions"]
            .as_array()
            .unwrap()
            .contains(&json!("1.1.0"))
    );
}

#[test]
fn missing_variables_are_all_named() {
    let output = call_with(&[("CNI_NETNS", ""), ("CNI_IFNAME", "")], CONFIG);
    assert_eq!(code(&output), 4);
    assert!(
        output.stdout.unwrap()["msg"]
            .as_str()
            .unwrap()
            .ends_with("CNI_NETNS, CNI_IFNAME")
    );
}

#[test]
fn del_comes_without_a_namespace() {
    assert!(call_with(&[("CNI_COMMAND", "DEL"), ("CNI_NETNS", "")], CONFIG).success);
}

#[test]
fn malformed_parameters_are_refused_by_their_code() {
    assert_eq!(code(&call_with(&[("CNI_COMMAND", "JUMP")], CONFIG)), 4);
    assert_eq!(code(&call_with(&[("CNI_CONTAINERID", "../x")], CONFIG)), 4);
    assert_eq!(code(&call_with(&[("CNI_IFNAME", "a/b")], CONFIG)), 4);
    assert_eq!(code(&call_with(&[("CNI_IFNAME", "sixteen-bytes-xx")], CONFIG)), 4);
    assert_eq!(code(&call_with(&[("CNI_ARGS", "novalue")], CONFIG)), 4);
    assert_eq!(code(&call_with(&[], "{")), 6);
    assert_eq!(code(&call_with(&[], &CONFIG.replace("1.1.0", "0.1.0"))), 1);
    assert_eq!(code(&call_with(&[], &CONFIG.replace("net", "../net"))), 7);
}

#[test]
fn commands_newer_than_the_configuration_are_refused() {
    let old = CONFIG.replace("1.1.0", "0.3.1");
    assert_eq!(code(&call_with(&[("CNI_COMMAND", "CHECK")], &old)), 1);
    assert_eq!(
        code(&call_with(
            &[("CNI_COMMAND", "GC")],
            &CONFIG.replace("1.1.0", "1.0.0")
        )),
        1
    );
    assert_eq!(code(&call_with(&[("CNI_COMMAND", "CHECK")], CONFIG)), 102);
}
