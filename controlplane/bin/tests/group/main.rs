//! Daemons as one cluster: joining, kill -9, SIGSTOP, leaving; and as another's successor.

#[cfg(test)]
#[path = "../support/ports.rs"]
mod ports;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod server;

#[cfg(test)]
mod group {
    use std::collections::BTreeSet;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use crate::server::{Server, all_vote, eventually};

    /// Which of `servers` leads, as the first that answers says.
    async fn leader(servers: &[Server]) -> usize {
        loop {
            for server in servers.iter().filter(|server| server.child.is_some()) {
                let shown = server.servers().await.unwrap_or_default();
                let leader = shown.into_iter().find(|(_, role)| role == "Leader");
                if let Some(at) =
                    leader.and_then(|(name, _)| servers.iter().position(|server| server.name == name))
                {
                    return at;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn three() -> Vec<Server> {
        let mut first = Server::new("one", None);
        first.start();
        eventually("the first serves", &[&first], || async {
            first.servers().await.is_some()
        })
        .await;
        let mut servers = vec![first];
        for name in ["two", "three"] {
            let mut next = Server::new(name, Some(&servers[0]));
            next.start();
            servers.push(next);
            let all: Vec<&Server> = servers.iter().collect();
            all_vote(&all, all.len()).await;
        }
        servers
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn three_servers_lose_no_acknowledged_write_when_each_leader_is_killed() {
        let mut servers = three().await;
        let mut acknowledged = BTreeSet::new();
        for round in 0..3 {
            let at = leader(&servers).await;
            for (number, server) in servers.iter().enumerate() {
                let name = format!("r{round}-s{number}");
                assert!(server.create(&name).await, "{name}: {}", server.log());
                acknowledged.insert(name);
            }
            servers[at].kill();
            let other = &servers[(at + 1) % 3];
            let (killed, mut attempt) = (Instant::now(), 0);
            loop {
                attempt += 1;
                let name = format!("r{round}-after-{attempt}");
                if other.create(&name).await {
                    acknowledged.insert(name);
                    break;
                }
                assert!(killed.elapsed() < Duration::from_secs(60), "{}", other.log());
            }
            servers[at].start();
            let all: Vec<&Server> = servers.iter().collect();
            let wanted = &acknowledged;
            eventually("the killed server shows all", &all, || async {
                let names = all[at].names().await.unwrap_or_default();
                wanted.iter().all(|name| names.contains(name))
            })
            .await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_leader_that_was_paused_serves_no_stale_read_and_a_removed_server_is_gone() {
        let mut servers = three().await;
        let at = leader(&servers).await;
        servers[at].signal("-STOP");
        let other = (at + 1) % 3;
        let all: Vec<&Server> = servers.iter().collect();
        eventually("another server takes writes", &all, || {
            all[other].create("while-paused")
        })
        .await;
        servers[at].signal("-CONT");
        // Its first answer is either a refusal or up to date.
        let seen = servers[at].names().await;
        assert!(seen.is_none_or(|names| names.contains("while-paused")));
        let gone = (leader(&servers).await + 1) % 3;
        let stays = (gone + 1) % 3;
        let name = servers[gone].name;
        servers[gone].kill();
        servers[stays].remove(name).await;
        let left: Vec<&Server> = servers.iter().filter(|server| server.name != name).collect();
        all_vote(&left, 2).await;
        assert!(left[0].create("of-two").await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_server_gives_a_whole_backup_of_all_that_was_acknowledged() {
        let servers = three().await;
        // The namespaces' own come by themselves.
        let mut made = 0;
        eventually("all namespaces have theirs", &[&servers[0]], || async {
            let names = servers[0].names().await.unwrap_or_default();
            names.contains("kube-root-ca.crt")
        })
        .await;
        for (number, server) in servers.iter().cycle().take(12).enumerate() {
            let name = format!("through-{number}");
            assert!(server.create(&name).await, "{}", server.log());
            let file = server.backup().await;
            let found = controlplane_store_sqlite::inspect(&file).unwrap();
            let maps = found.resources["configmaps"].objects;
            assert!(
                maps > made,
                "the last is missing from {}: {made} before, {maps} now",
                server.name
            );
            made = maps;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_join_token_is_refused_in_one_sentence() {
        let mut first = Server::new("one", None);
        first.start();
        eventually("the first serves", &[&first], || async {
            first.servers().await.is_some()
        })
        .await;
        let token = first.dir.path().join("state/join-token");
        let own = std::fs::read_to_string(&token).unwrap();
        let (authority, secret) = own.trim().rsplit_once('.').unwrap();
        let other = format!("floe-join.{}.{secret}", "0".repeat(64));
        for (wrong, why) in [
            (
                format!("{authority}.{}", "a".repeat(32)),
                "not that of this cluster",
            ),
            (other, "not of the cluster that the join token names"),
        ] {
            let second = Server::new("two", Some(&first));
            let file = second.dir.path().join("token");
            std::fs::write(&file, wrong).unwrap();
            let config = second.dir.path().join("config.toml");
            let text = std::fs::read_to_string(&config).unwrap();
            let text = text.replace(token.to_str().unwrap(), file.to_str().unwrap());
            std::fs::write(&config, text).unwrap();
            let ended = Command::new(env!("CARGO_BIN_EXE_floe-controlplane"))
                .args(["--config", config.to_str().unwrap()])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(!ended.status.success() && said.contains(why), "{said}");
        }
    }
}
