//! The ruleset of the real kernel, in network namespaces of the tests' own. Needs root, iproute2 and
//! nftables.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::Duration;

use cni_plugins_nft::{Change, Element, ElementKey, Flows as _, KernelFlows, KernelRuleset, Ruleset as _};
use cni_plugins_nft::{
    Field, FieldKind, Filled, SetSpec, Structure, Tuple, Value, ValueKind, Watch, comment,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `work` in a new network namespace on a thread of its own; skips where that is impossible.
fn in_new_namespace(name: &str, work: impl FnOnce() + Send + 'static) {
    let name = format!("floe-nft-{}-{name}", std::process::id());
    let ip = |words: &[&str]| Command::new("ip").args(words).status().is_ok_and(|s| s.success());
    let able = Command::new("nft").arg("--version").output().is_ok();
    if !able || !ip(&["netns", "add", &name]) {
        println!("skipped: needs root, iproute2 and nftables");
        return;
    }
    let file = File::open(format!("/run/netns/{name}")).unwrap();
    let done = std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        work();
    })
    .join();
    ip(&["netns", "del", &name]);
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

fn nft(command: &str) {
    let output = Command::new("nft").arg(command).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn one_set() -> Structure {
    let spec = SetSpec {
        key: vec![FieldKind::Port],
        value: ValueKind::Nothing,
        filled: Filled::ByChanges,
    };
    let mut structure = Structure::default();
    structure.sets.insert("ports".into(), spec);
    structure
}

fn add(port: u16) -> Change {
    Change::Add(Element {
        key: ElementKey {
            set: "ports".into(),
            key: Tuple(vec![Field::Port(port)]),
        },
        value: Value::Nothing,
        comment: comment(""),
    })
}

#[test]
fn the_kernel_keeps_the_contract() {
    in_new_namespace("contract", || {
        cni_plugins_nft::contract::run(&mut KernelRuleset::open().unwrap());
    });
}

#[test]
fn rules_that_someone_changed_are_noticed_by_a_listing() {
    in_new_namespace("holds", || {
        let mut rules = KernelRuleset::open().unwrap();
        let mut structure = Structure::default();
        let chain = cni_plugins_nft::ChainSpec {
            hook: None,
            rules: vec!["meta l4proto tcp drop".to_owned()],
        };
        structure.chains.insert("refuse".into(), chain);
        rules.load(&structure).unwrap();
        assert!(rules.holds().unwrap());
        nft("flush chain inet floe refuse");
        assert!(!rules.holds().unwrap());
        nft("add rule inet floe refuse meta l4proto udp drop");
        assert!(!rules.holds().unwrap());
        rules.load(&structure).unwrap();
        nft("add chain inet floe masquerade-pods");
        assert!(rules.holds().unwrap());
        nft("delete table inet floe");
        assert!(!rules.holds().unwrap());
    });
}

#[test]
fn a_replacement_leaves_the_chains_of_the_plugins() {
    in_new_namespace("replace", || {
        let mut rules = KernelRuleset::open().unwrap();
        rules.load(&one_set()).unwrap();
        nft("add chain inet floe masquerade-pods");
        rules.replace(&Structure::default()).unwrap();
        nft("list chain inet floe masquerade-pods");
        assert!(
            !Command::new("nft")
                .args(["list", "set", "inet", "floe", "ports"])
                .output()
                .unwrap()
                .status
                .success()
        );
    });
}

#[test]
fn changes_by_others_are_heard_and_own_ones_and_the_plugins_are_not() {
    in_new_namespace("watch", || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut rules = KernelRuleset::open().unwrap();
            rules.load(&one_set()).unwrap();
            let mut watch = Watch::begin(rules.own().unwrap()).unwrap();
            rules.change(&[add(80)]).unwrap();
            rules.load(&one_set()).unwrap();
            nft("add chain inet floe masquerade-pods");
            nft("add table ip other");
            let quiet = tokio::time::timeout(Duration::from_millis(200), watch.next()).await;
            assert!(quiet.is_err(), "{quiet:?}");
            nft("delete element inet floe ports { 80 }");
            let heard = tokio::time::timeout(Duration::from_secs(5), watch.next())
                .await
                .unwrap();
            assert!(heard.what.contains("set ports"), "{heard:?}");
            nft("delete table inet floe");
            let all = async {
                loop {
                    if watch.next().await.what.contains("table") {
                        return;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(5), all).await.unwrap();
        });
    });
}

#[test]
fn a_udp_flow_is_listed_and_forgotten() {
    in_new_namespace("flows", || {
        assert!(
            Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status()
                .unwrap()
                .success()
        );
        // Tracking begins with the first rule that needs it.
        nft(
            "add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c ct state new accept",
        );
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (there, here) = (server.local_addr().unwrap(), client.local_addr().unwrap());
        client.send_to(b"x", there).unwrap();
        let mut flows = KernelFlows::open().unwrap();
        let found = flows.udp().unwrap();
        let Some(flow) = found.iter().find(|flow| flow.client == here) else {
            panic!("{found:?}")
        };
        assert_eq!((flow.destination, flow.server), (there, there));
        flows.forget(flow).unwrap();
        flows.forget(flow).unwrap();
        assert!(flows.udp().unwrap().iter().all(|flow| flow.client != here));
    });
}
