//! The server on its real address and port, in a network namespace of the test's own. Needs root and
//! iproute2; asks with dig where that is installed.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::forward::Upstreams;
use crate::testing::{FakeUpstream, address_reply};
use crate::zone::tests::example;

const ADDRESS: &str = "10.43.0.10:53";

/// Runs `test` on a thread that has a network of its own, with `lo` up.
fn in_own_network<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: a network namespace needs root");
        return;
    }
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.unwrap().success());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(test());
    };
    std::thread::spawn(inside).join().unwrap();
}

fn resolver(upstreams: Vec<SocketAddr>) -> Arc<Resolver> {
    let counts = Arc::new(Counts::default());
    let names = Arc::new(Names::new(example()));
    names.set_ready();
    Arc::new(Resolver {
        domain: parse_domain("cluster.local").unwrap(),
        names,
        forwarder: Arc::new(Forwarder::new(Upstreams::of(upstreams), Arc::clone(&counts))),
        counts,
        turn: AtomicUsize::new(0),
    })
}

async fn dig(words: &[&str]) -> String {
    let server = "@10.43.0.10";
    let output = tokio::process::Command::new("dig")
        .arg(server)
        .args(words)
        .output()
        .await
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn dig_is_answered_at_the_clusters_address_over_udp_and_tcp() {
    let has_dig = Command::new("dig").arg("-v").output().is_ok();
    in_own_network(async move || {
        let upstream = FakeUpstream::start(|question, _| Some(address_reply(&question, 60))).await;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(
            ADDRESS.parse().unwrap(),
            resolver(vec![upstream.address]),
            stop.clone(),
        ));
        while tokio::net::TcpStream::connect(ADDRESS).await.is_err() {
            tokio::task::yield_now().await;
        }
        if has_dig {
            let name = "kubernetes.default.svc.cluster.local";
            for transport in ["+notcp", "+tcp"] {
                let said = dig(&[transport, name]).await;
                assert!(
                    said.contains(" aa ") && said.contains("NOERROR") && said.contains("10.43.0.1"),
                    "{said}"
                );
            }
            let reverse = dig(&["+short", "-x", "10.43.0.1"]).await;
            assert_eq!(reverse, "kubernetes.default.svc.cluster.local.\n");
            let denied = dig(&["nothing.default.svc.cluster.local"]).await;
            assert!(denied.contains("NXDOMAIN") && denied.contains("SOA"), "{denied}");
            assert_eq!(dig(&["+short", "www.example.com"]).await, "192.0.2.80\n");
        }
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    });
}

#[test]
fn a_taken_port_is_told_in_one_sentence_and_taken_once_it_is_free() {
    in_own_network(async || {
        let other = tokio::net::UdpSocket::bind("0.0.0.0:53").await.unwrap();
        let address = ADDRESS.parse().unwrap();
        let refused = attempt(address).await.unwrap_err();
        assert!(
            refused.contains("another program") && refused.contains("ss -lnptu"),
            "{refused}"
        );
        drop(other);
        assert!(attempt(address).await.is_ok());
    });
}
