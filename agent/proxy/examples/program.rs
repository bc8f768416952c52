//! What programming services costs: `program COUNT ROUNDS ENDPOINT` fills the table of this network
//! namespace with COUNT services that lead to ENDPOINT (address and port), then changes one service
//! ROUNDS times, and prints the figures as JSON. The table stays.

#![expect(clippy::print_stdout, reason = "its output is for who runs it")]

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use agent_proxy::{
    Config, Endpoint, Engine, Model, ObjectName, Port, Readiness, Service, Slice, TrafficPolicy, Update,
};
use cni_plugins_nft::{KernelRuleset, Protocol};

/// The first service's address.
const FIRST: u32 = 0x0a2b_4001;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [count, rounds, endpoint] = words.as_slice() else {
        return Err("usage: program COUNT ROUNDS ENDPOINT".into());
    };
    let (count, rounds): (u32, u32) = (count.parse()?, rounds.parse()?);
    let endpoint: SocketAddr = endpoint.parse()?;
    let config = Config {
        node_name: "node".to_owned(),
        pod_ranges: vec!["10.42.0.0/16".parse()?],
        ..Config::default()
    };
    let mut engine = Engine::new(Model::new(config), KernelRuleset::open()?);
    let begin = Instant::now();
    engine.update(Update::Services((0..count).map(service).collect()));
    engine.update(Update::Slices(
        (0..count).map(|n| slice(n, endpoint, 2)).collect(),
    ));
    engine.sync()?;
    let load = begin.elapsed();
    let mut times = Vec::new();
    for round in 0..rounds {
        // A service's second endpoint goes and comes, then it is the next one's turn.
        let number = 1 + (round / 2) % (count - 1).max(1);
        let change = slice(number, endpoint, 1 + usize::from(round % 2 == 1));
        let begin = Instant::now();
        engine.update(Update::Slice(Box::new(change)));
        engine.sync()?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let at = |part: usize| {
        let place = (times.len() * part / 100).min(times.len().saturating_sub(1));
        times.get(place).copied().unwrap_or_default()
    };
    println!(
        "{{\"services\": {count}, \"load_ms\": {:.1}, \"change_p50_ms\": {:.3}, \"change_p99_ms\": {:.3}}}",
        load.as_secs_f64() * 1000.0,
        at(50),
        at(99)
    );
    Ok(())
}

fn name(n: u32) -> ObjectName {
    ObjectName {
        namespace: "default".to_owned(),
        name: format!("service-{n}"),
    }
}

fn service(n: u32) -> Service {
    Service {
        name: name(n),
        cluster_ips: vec![IpAddr::V4(Ipv4Addr::from(FIRST + n))],
        balancer_ips: Vec::new(),
        balancer_sources: Vec::new(),
        internal: TrafficPolicy::Cluster,
        external: TrafficPolicy::Cluster,
        affinity: None,
        ports: vec![Port {
            name: "http".to_owned(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
    }
}

/// `endpoint` and, for two, its neighbour.
fn slice(n: u32, endpoint: SocketAddr, count: usize) -> Slice {
    let neighbour = match endpoint.ip() {
        IpAddr::V4(addr) => IpAddr::V4(Ipv4Addr::from(u32::from(addr) + 1)),
        other @ IpAddr::V6(_) => other,
    };
    let endpoints = [endpoint.ip(), neighbour]
        .into_iter()
        .take(if n == 0 { 1 } else { count });
    Slice {
        name: name(n),
        service: name(n),
        ports: vec![("http".to_owned(), Protocol::Tcp, endpoint.port())],
        endpoints: endpoints
            .map(|addr| Endpoint {
                addr,
                readiness: Readiness::Ready,
                node: Some("node".to_owned()),
            })
            .collect(),
    }
}
