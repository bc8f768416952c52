//! Services in the real kernel. Needs root, iproute2 and nftables.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod lab;
mod objects;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use agent_proxy::{Service, Slice};
use lab::{Lab, ask, fetch};
use objects::{service, slice, slice_of};
use serde_json::{Value, json};

const P1: (&str, &str, &str) = ("10.42.0.2", "n1", "ready");
const P2: (&str, &str, &str) = ("10.42.0.3", "n1", "ready");
const FAR: (&str, &str, &str) = ("10.42.1.2", "n2", "ready");

/// Runs `claim` in a lab where every pod serves port 8080.
fn with_lab(claim: impl FnOnce(&mut Lab)) {
    let Some(mut lab) = Lab::build() else {
        println!("skipped: needs root, iproute2 and nftables");
        return;
    };
    for pod in ["p1", "p2", "far"] {
        lab.serve(pod, 8080);
    }
    claim(&mut lab);
}

/// A service over TCP and UDP.
fn web(more: &Value) -> Service {
    let ports = json!([
        {"name": "http", "port": 80, "nodePort": 30080},
        {"name": "udp", "port": 80, "protocol": "UDP", "nodePort": 30080},
    ]);
    let mut spec = json!({"type": "NodePort", "ports": ports});
    for (key, value) in more.as_object().unwrap() {
        spec.as_object_mut().unwrap().insert(key.clone(), value.clone());
    }
    service("web", "10.43.0.5", &spec)
}

fn slices(endpoints: &[(&str, &str, &str)]) -> Vec<Slice> {
    vec![
        slice("web", endpoints),
        slice_of("web", "udp", "UDP", 8080, endpoints),
    ]
}

/// The servers that answer many connections.
fn servers(lab: &Lab, place: &str, target: &str) -> BTreeSet<String> {
    let answer = |_| {
        lab.get(place, target)
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    (0..30).map(answer).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_cluster_address_reaches_every_endpoint_from_pods_and_the_node() {
    with_lab(|lab| {
        lab.program(vec![web(&json!({}))], slices(&[P2, FAR]));
        for place in ["p1", "node"] {
            assert_eq!(
                servers(lab, place, "10.43.0.5:80"),
                names(&["p2", "far"]),
                "from {place}"
            );
        }
        // Pods are seen with their own address, on one node and across.
        lab.program(vec![web(&json!({}))], slices(&[P2]));
        assert_eq!(lab.get("p1", "10.43.0.5:80"), "p2 10.42.0.2");
        assert_eq!(lab.get("far", "10.43.0.5:80"), "p2 10.42.1.2");
        assert_eq!(lab.ask("p1", "10.43.0.5:80"), "p2 10.42.0.2");
    });
}

#[test]
fn a_node_port_is_served_on_every_address_of_the_node_but_loopback() {
    with_lab(|lab| {
        lab.program(vec![web(&json!({}))], slices(&[P2, FAR]));
        for address in ["10.88.0.2:30080", "10.88.1.2:30080"] {
            assert_eq!(servers(lab, "out", address), names(&["p2", "far"]), "{address}");
            assert_eq!(servers(lab, "p1", address), names(&["p2", "far"]), "{address}");
            assert_eq!(servers(lab, "node", address), names(&["p2", "far"]), "{address}");
        }
        assert_eq!(lab.get("node", "127.0.0.1:30080"), "connection refused");
        lab.program(vec![web(&json!({}))], slices(&[P2]));
        assert_eq!(
            lab.get("out", "10.88.0.2:30080"),
            "p2 10.42.0.1",
            "the node's address"
        );
        assert!(lab.ask("out", "10.88.0.2:30080").starts_with("p2 "));
    });
}

#[test]
fn a_service_goes_before_a_host_port_of_the_same_number() {
    with_lab(|lab| {
        lab.program(vec![web(&json!({}))], slices(&[P2]));
        let mapping = |port: u16| json!({"hostPort": port, "containerPort": 8080, "protocol": "tcp"});
        let held = cni_plugins_portmap::Held {
            container_id: "p1".to_owned(),
            ifname: "eth0".to_owned(),
            args: String::new(),
            config: json!({
                "cniVersion": "1.1.0", "name": "pods", "type": "portmap",
                "runtimeConfig": {"portMappings": [mapping(80), mapping(30080), mapping(30081)]},
                "prevResult": {"cniVersion": "1.1.0", "ips": [{"address": "10.42.0.2/24"}]},
            }),
        };
        let mut strange = held.clone();
        strange.config["backend"] = json!("iptables");
        let all = vec![strange, held];
        let restored = lab.inside("node", || cni_plugins_portmap::restore("pods", || all));
        assert!(restored.unwrap());
        for place in ["out", "p2", "node"] {
            assert!(lab.get(place, "10.88.0.2:30080").starts_with("p2 "), "{place}");
            assert!(lab.get(place, "10.88.0.2:30081").starts_with("p1 "), "{place}");
            assert!(lab.get(place, "10.88.0.2:80").starts_with("p1 "), "{place}");
            assert!(lab.get(place, "10.43.0.5:80").starts_with("p2 "), "{place}");
        }
        // The rules of Services leave a host port's source as it is.
        assert_eq!(lab.get("out", "10.88.0.2:30081"), "p1 10.88.0.9");
        assert!(!lab.repair(), "the table of Services is another one");
    });
}

#[test]
fn the_local_policy_keeps_the_clients_address_and_drops_where_nothing_is_here() {
    with_lab(|lab| {
        let local = web(&json!({"externalTrafficPolicy": "Local"}));
        lab.program(vec![local.clone()], slices(&[P2, FAR]));
        assert_eq!(servers(lab, "out", "10.88.0.2:30080"), names(&["p2"]));
        assert_eq!(lab.get("out", "10.88.0.2:30080"), "p2 10.88.0.9");
        assert_eq!(servers(lab, "p1", "10.88.0.2:30080"), names(&["p2", "far"]));
        assert_eq!(servers(lab, "node", "10.88.0.2:30080"), names(&["p2", "far"]));
        lab.program(vec![local], slices(&[FAR]));
        assert_eq!(lab.get("out", "10.88.0.2:30080"), "timed out");
        assert_eq!(servers(lab, "p1", "10.88.0.2:30080"), names(&["far"]));
        let inside = web(&json!({"internalTrafficPolicy": "Local"}));
        lab.program(vec![inside.clone()], slices(&[P2, FAR]));
        assert_eq!(servers(lab, "p1", "10.43.0.5:80"), names(&["p2"]));
        lab.program(vec![inside], slices(&[FAR]));
        assert_eq!(lab.get("p1", "10.43.0.5:80"), "timed out");
    });
}

#[test]
fn without_endpoints_or_with_another_port_the_answer_is_refused_at_once() {
    with_lab(|lab| {
        lab.program(vec![web(&json!({}))], Vec::new());
        let begin = Instant::now();
        for place in ["p1", "node", "out"] {
            for target in ["10.43.0.5:80", "10.43.0.5:81"] {
                assert_eq!(lab.get(place, target), "connection refused", "{place} {target}");
                // The kernel tells a sender on the node itself that a rule forbids it.
                let refused = if place == "node" {
                    "permission denied"
                } else {
                    "connection refused"
                };
                assert_eq!(lab.ask(place, target), refused, "{place} {target}");
            }
        }
        assert_eq!(lab.get("out", "10.88.0.2:30080"), "connection refused");
        // One that waited for its time to be over says another word.
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        lab.program(vec![web(&json!({}))], slices(&[P2]));
        assert_eq!(lab.get("p1", "10.43.0.5:80"), "p2 10.42.0.2");
        assert_eq!(lab.get("p1", "10.43.0.5:81"), "connection refused");
    });
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    with_lab(|lab| {
        lab.program(vec![web(&json!({}))], slices(&[P1]));
        assert!(lab.get("p1", "10.43.0.5:80").starts_with("p1 "));
        assert!(lab.get("p1", "10.88.0.2:30080").starts_with("p1 "));
        assert!(lab.ask("p1", "10.43.0.5:80").starts_with("p1 "));
    });
}

#[test]
fn a_client_with_affinity_stays_until_its_endpoint_goes_or_its_time_is_over() {
    with_lab(|lab| {
        let sticky = |seconds: u32| {
            web(&json!({
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}},
            }))
        };
        lab.program(vec![sticky(600)], slices(&[P2, FAR]));
        let target = "10.43.0.5:80";
        for place in ["p1", "node", "out"] {
            assert_eq!(servers(lab, place, target).len(), 1, "from {place}");
        }
        assert_eq!(servers(lab, "out", "10.88.0.2:30080").len(), 1);
        let had = servers(lab, "p1", target);
        let (gone, stays) = if had == names(&["p2"]) {
            (P2, FAR)
        } else {
            (FAR, P2)
        };
        lab.program(vec![sticky(600)], slices(&[stays]));
        assert_eq!(servers(lab, "p1", target).len(), 1);
        assert_ne!(servers(lab, "p1", target), had);
        lab.program(vec![sticky(600)], slices(&[stays, gone]));
        assert_ne!(servers(lab, "p1", target), had, "it stays with the new one");
        // Another period is noted with the next new client.
        lab.program(vec![web(&json!({}))], slices(&[P2, FAR]));
        assert_eq!(servers(lab, "p1", target).len(), 2, "no affinity any more");
        lab.program(vec![sticky(1)], slices(&[P2, FAR]));
        let mut seen = BTreeSet::new();
        for _ in 0..12 {
            seen.insert(lab.get("p1", target));
            if seen.len() == 2 {
                return;
            }
            let since = Instant::now();
            while lab
                .sh("node", "nft list map inet floe affinity4")
                .contains("expires")
            {
                assert!(
                    since.elapsed() < Duration::from_secs(10),
                    "the client is still remembered"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        assert_eq!(seen.len(), 2, "a new choice after the time is over");
    });
}

#[test]
fn a_udp_client_follows_when_its_endpoint_goes() {
    with_lab(|lab| {
        lab.program(vec![web(&json!({}))], slices(&[P2]));
        let socket = lab.udp("p1", "10.43.0.5:80");
        let outside = ["10.88.0.2:30080", "10.88.1.2:30080"].map(|target| lab.udp("out", target));
        assert_eq!(ask(&socket), "p2 10.42.0.2");
        for outside in &outside {
            assert!(ask(outside).starts_with("p2 "));
        }
        lab.program(vec![web(&json!({}))], slices(&[FAR]));
        assert_eq!(ask(&socket), "far 10.42.0.2");
        for outside in &outside {
            assert!(ask(outside).starts_with("far "));
        }
    });
}

#[test]
fn no_connection_fails_while_endpoints_come_and_go() {
    with_lab(|lab| {
        lab.program(vec![web(&json!({}))], slices(&[P2]));
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stop = std::sync::Arc::clone(&done);
        let target = "10.43.0.5:80".parse().unwrap();
        let client = lab.inside("p1", move || {
            // A thread's children are in its namespace.
            std::thread::spawn(move || {
                let mut answers = Vec::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    // A connection that meets a change half-way is dropped and tried again by TCP.
                    answers.push(fetch(target, Duration::from_secs(10)));
                    // Otherwise the client runs out of ports that the servers have forgotten.
                    std::thread::sleep(Duration::from_micros(300));
                }
                answers
            })
        });
        for round in 0..60 {
            let sets: [&[_]; 4] = [&[P2, FAR], &[FAR], &[FAR, P2, P1], &[P2]];
            let endpoints = sets.get(round % 4).unwrap();
            lab.program(vec![web(&json!({}))], slices(endpoints));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let answers = client.join().unwrap();
        let failed: Vec<&String> = answers
            .iter()
            .filter(|answer| !answer.contains(" 10.42."))
            .collect();
        assert!(failed.is_empty(), "{failed:?} of {}", answers.len());
        assert!(answers.len() > 50, "{}", answers.len());
    });
}

#[test]
fn a_deleted_table_chain_or_element_comes_back_and_the_plugins_chain_stays() {
    with_lab(|lab| {
        lab.program(vec![web(&json!({}))], slices(&[P2]));
        lab.sh(
            "node",
            "nft add chain inet floe masquerade-pods; nft add rule inet floe masquerade-pods counter",
        );
        assert!(!lab.repair(), "a plugin's chain is no drift");
        for vandalism in [
            "nft delete element inet floe services4 '{ 10.43.0.5 . tcp . 80 }'",
            "nft flush map inet floe endpoints4-0",
            "nft flush chain inet floe dispatch4",
            "nft insert rule inet floe dispatch4 tcp dport 80 drop",
            "nft flush chain inet floe nat-prerouting; nft delete chain inet floe nat-prerouting",
            "nft flush table inet floe",
        ] {
            lab.sh("node", vandalism);
            assert!(lab.repair(), "{vandalism}");
            assert_eq!(lab.get("p1", "10.43.0.5:80"), "p2 10.42.0.2", "{vandalism}");
            assert!(!lab.repair(), "{vandalism}");
        }
        lab.sh("node", "nft list chain inet floe masquerade-pods");
        lab.sh("node", "nft delete table inet floe");
        assert!(lab.repair());
        assert_eq!(lab.get("p1", "10.43.0.5:80"), "p2 10.42.0.2");
    });
}

#[test]
fn an_address_that_the_node_answers_itself_is_left_alone() {
    with_lab(|lab| {
        lab.sh("node", "ip addr add 10.43.0.10/32 dev lo");
        lab.serve("node", 53);
        let dns = service(
            "kube-dns",
            "10.43.0.10",
            &json!({"ports": [{"name": "http", "port": 53}]}),
        );
        lab.program(vec![dns], vec![slice("kube-dns", &[P2])]);
        assert_eq!(lab.get("p1", "10.43.0.10:53"), "node 10.42.0.2");
    });
}

#[test]
fn a_table_that_another_version_made_is_replaced() {
    with_lab(|lab| {
        lab.sh(
            "node",
            "nft add table inet floe
             nft 'add set inet floe services4 { type inet_service; }'
             nft add chain inet floe old
             nft add chain inet floe masquerade-pods",
        );
        lab.program(vec![web(&json!({}))], slices(&[P2]));
        assert_eq!(lab.get("p1", "10.43.0.5:80"), "p2 10.42.0.2");
        let chains = lab.sh("node", "nft list table inet floe");
        assert!(
            !chains.contains("chain old") && chains.contains("chain masquerade-pods"),
            "{chains}"
        );
    });
}

#[test]
fn a_balancers_address_serves_those_who_may_use_it() {
    with_lab(|lab| {
        let balanced = |sources: &[&str]| {
            let object = json!({
                "metadata": {"namespace": "default", "name": "web"},
                "spec": {
                    "type": "LoadBalancer", "clusterIP": "10.43.0.5", "loadBalancerSourceRanges": sources,
                    "ports": [{"name": "http", "port": 80}],
                },
                "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}},
            });
            vec![Service::read(&serde_json::from_value(object).unwrap()).unwrap()]
        };
        let target = "203.0.113.9:80";
        for open in [&[][..], &["10.88.0.0/24"], &["192.0.2.0/24", "0.0.0.0/0"]] {
            lab.program(balanced(open), slices(&[P2]));
            assert_eq!(lab.get("out", target), "p2 10.42.0.1", "{open:?}");
        }
        lab.program(balanced(&["192.0.2.0/24", "10.42.0.2/32"]), slices(&[P2]));
        assert_eq!(lab.get("out", target), "timed out");
        assert_eq!(lab.get("p1", target), "p2 10.42.0.1");
        assert!(lab.get("node", target).starts_with("p2 "));
        assert_eq!(lab.get("far", target), "timed out");
    });
}

#[test]
fn ipv6_is_served_as_ipv4_is() {
    with_lab(|lab| {
        let six = |more: &Value| {
            let mut spec = json!({
                "type": "NodePort", "clusterIPs": ["fd43::5"],
                "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
            });
            for (key, value) in more.as_object().unwrap() {
                spec.as_object_mut().unwrap().insert(key.clone(), value.clone());
            }
            vec![service("web", "fd43::5", &spec)]
        };
        let endpoints: [(&str, &str, &str); 2] = [("fd42::3", "n1", "ready"), ("fd42:1::2", "n2", "ready")];
        lab.program(six(&json!({})), vec![slice("web", &endpoints)]);
        for (place, target) in [
            ("p1", "[fd43::5]:80"),
            ("node", "[fd43::5]:80"),
            ("out", "[fd88::2]:30080"),
        ] {
            assert_eq!(
                servers(lab, place, target),
                names(&["p2", "far"]),
                "{place} {target}"
            );
        }
        assert_eq!(lab.get("p1", "[fd43::5]:81"), "connection refused");
        lab.program(
            six(&json!({"sessionAffinity": "ClientIP"})),
            vec![slice("web", &endpoints)],
        );
        assert_eq!(servers(lab, "p1", "[fd43::5]:80").len(), 1);
        lab.program(six(&json!({})), vec![slice("web", &[("fd42::2", "n1", "ready")])]);
        assert!(
            lab.get("p1", "[fd43::5]:80").starts_with("p1 "),
            "it reaches itself"
        );
        lab.program(six(&json!({})), Vec::new());
        assert_eq!(lab.get("p1", "[fd43::5]:80"), "connection refused");
    });
}

#[test]
fn a_service_of_many_endpoints_grows_and_shrinks() {
    with_lab(|lab| {
        let addrs: Vec<String> = (10..150).map(|n| format!("10.42.1.{n}")).collect();
        for count in [140, 70, 90, 140] {
            let mut many: Vec<_> = addrs
                .iter()
                .take(count)
                .map(|addr| (addr.as_str(), "n2", "ready"))
                .collect();
            many.push(P2);
            lab.program(vec![web(&json!({}))], slices(&many));
        }
        for count in 2..80 {
            let many: Vec<_> = addrs
                .iter()
                .take(count)
                .map(|addr| (addr.as_str(), "n2", "ready"))
                .collect();
            lab.program(vec![web(&json!({}))], slices(&many));
        }
        assert!(!lab.repair());
        lab.program(vec![web(&json!({}))], slices(&[P2]));
        assert_eq!(servers(lab, "p1", "10.43.0.5:80"), names(&["p2"]));
        let chains = lab.sh("node", "nft -t list table inet floe | grep -c 'chain pick'");
        assert!(chains.trim().parse::<usize>().unwrap() <= 130, "{chains}");
    });
}
