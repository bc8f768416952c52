//! Several daemons as real processes, each in a network namespace of its own and on a disk of its own, under everything that
//! a process, a network and a disk do to a cluster, while clients write and keep what they were told.
//!
//! It needs root; `tests/run` runs it.

#[cfg(test)]
mod clients;
#[cfg(test)]
mod field;
#[cfg(test)]
mod server;

#[cfg(test)]
mod faults {
    use std::time::{Duration, Instant};

    use kube::api::PostParams;
    use nix::sys::signal::Signal;

    use crate::clients::{Clients, maps};
    use crate::field::Loss;
    use crate::server::Cluster;

    /// Runs a test on a runtime whose threads are where the test's thread is.
    fn on_a_field<F: Future<Output = ()>>(servers: u8, test: impl FnOnce(Cluster) -> F) {
        // The servers are started by this thread, and die with it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let cluster = Cluster::of(servers).await;
            test(cluster).await;
        });
    }

    #[test]
    #[ignore = "needs root; tests/run runs it"]
    fn killed_and_paused_leaders_cost_no_acknowledged_write() {
        on_a_field(3, |mut cluster| async move {
            let clients = Clients::start(&cluster).await;
            for round in 0..4 {
                clients.write_again(&cluster, &[1, 2, 3]).await;
                let leader = cluster.leader(&[1, 2, 3]).await;
                let others = cluster.others(leader);
                match round % 2 {
                    0 => cluster.server_mut(leader).kill(),
                    _ => cluster.server(leader).signal(Signal::SIGSTOP),
                }
                let took = clients.write_again(&cluster, &others).await;
                println!("round {round}: writes went on after {} ms", took.as_millis());
                match round % 2 {
                    0 => cluster.server_mut(leader).start(),
                    _ => cluster.server(leader).signal(Signal::SIGCONT),
                }
            }
            clients.write_again(&cluster, &[1, 2, 3]).await;
            clients.check(&cluster).await;
        });
    }

    #[test]
    #[ignore = "needs root; tests/run runs it"]
    fn all_killed_at_once_come_back_with_every_acknowledged_write() {
        on_a_field(3, |mut cluster| async move {
            let clients = Clients::start(&cluster).await;
            for _ in 0..2 {
                clients.write_again(&cluster, &[1, 2, 3]).await;
                for number in 1..=3 {
                    cluster.server_mut(number).kill();
                }
                for number in 1..=3 {
                    cluster.server_mut(number).start();
                }
            }
            clients.write_again(&cluster, &[1, 2, 3]).await;
            clients.check(&cluster).await;
        });
    }

    #[test]
    #[ignore = "needs root; tests/run runs it"]
    fn partitions_of_every_kind_cost_no_acknowledged_write() {
        on_a_field(3, |cluster| async move {
            let clients = Clients::start(&cluster).await;
            clients.write_again(&cluster, &[1, 2, 3]).await;
            // The leader is alone: the others go on without it.
            let leader = cluster.leader(&[1, 2, 3]).await;
            let others = cluster.others(leader);
            let places: Vec<_> = others
                .iter()
                .map(|number| &cluster.server(*number).place)
                .collect();
            cluster.server(leader).place.lose(Loss::All, &places);
            clients.write_again(&cluster, &others).await;
            heal(&cluster).await;
            clients.write_again(&cluster, &[1, 2, 3]).await;
            // The leader reaches nobody, but is reached: its followers must not wait for it.
            let leader = cluster.leader(&[1, 2, 3]).await;
            let others = cluster.others(leader);
            for other in &others {
                let leader = &cluster.server(leader).place;
                cluster.server(*other).place.lose(Loss::CallsToHere, &[leader]);
            }
            clients.write_again(&cluster, &others).await;
            heal(&cluster).await;
            clients.write_again(&cluster, &[1, 2, 3]).await;
            // The leader is not reached, but reaches all: it goes on.
            let leader = cluster.leader(&[1, 2, 3]).await;
            let others = cluster.others(leader);
            let places: Vec<_> = others
                .iter()
                .map(|number| &cluster.server(*number).place)
                .collect();
            cluster.server(leader).place.lose(Loss::CallsToHere, &places);
            clients.write_again(&cluster, &[leader]).await;
            heal(&cluster).await;
            clients.write_again(&cluster, &[1, 2, 3]).await;
            // Nobody reaches anybody: nothing is acknowledged until that ends.
            for number in 1..=3 {
                let others = cluster.others(number);
                let places: Vec<_> = others.iter().map(|other| &cluster.server(*other).place).collect();
                cluster.server(number).place.lose(Loss::All, &places);
            }
            clients.refused(&cluster).await;
            heal(&cluster).await;
            clients.write_again(&cluster, &[1, 2, 3]).await;
            clients.check(&cluster).await;
        });
    }

    async fn heal(cluster: &Cluster) {
        for server in cluster.servers.values() {
            server.place.lose_nothing();
        }
    }

    #[test]
    #[ignore = "needs root; tests/run runs it"]
    fn with_one_full_disk_writes_go_on_and_with_all_full_they_are_refused_until_there_is_space() {
        on_a_field(3, |cluster| async move {
            let clients = Clients::start(&cluster).await;
            clients.write_again(&cluster, &[1, 2, 3]).await;
            let leader = cluster.leader(&[1, 2, 3]).await;
            let follower = cluster.others(leader)[0];
            let healthy = cluster.others(follower);
            cluster.server(follower).place.fill();
            clients.write_again(&cluster, &healthy).await;
            cluster.server(follower).place.give_back();
            clients.write_again(&cluster, &[1, 2, 3]).await;
            // A leader without space lets another lead.
            let leader = cluster.leader(&[1, 2, 3]).await;
            cluster.server(leader).place.fill();
            clients.write_again(&cluster, &cluster.others(leader)).await;
            cluster.server(leader).place.give_back();
            clients.write_again(&cluster, &[1, 2, 3]).await;
            for server in cluster.servers.values() {
                server.place.fill();
            }
            clients.refused(&cluster).await;
            let read = maps(cluster.server(1).client()).get("counter").await;
            assert!(read.is_ok(), "{read:?}\n{}", cluster.logs());
            for server in cluster.servers.values() {
                server.place.give_back();
            }
            clients.write_again(&cluster, &[1, 2, 3]).await;
            clients.check(&cluster).await;
        });
    }

    #[test]
    #[ignore = "needs root; tests/run runs it"]
    fn a_disk_that_is_full_despite_its_free_space_refuses_the_first_write_that_meets_it() {
        on_a_field(1, |cluster| async move {
            let server = cluster.server(1);
            let large = |name: &str| k8s_openapi::api::core::v1::ConfigMap {
                metadata: kube::api::ObjectMeta {
                    name: Some(name.to_owned()),
                    ..kube::api::ObjectMeta::default()
                },
                data: Some([("text".to_owned(), "x".repeat(1 << 20))].into()),
                ..k8s_openapi::api::core::v1::ConfigMap::default()
            };
            let maps = maps(server.client());
            assert!(
                maps.create(&PostParams::default(), &large("before"))
                    .await
                    .is_ok()
            );
            server.place.take_all_files();
            // The log's file is full at some time, and the next one cannot be made.
            let mut written = 0;
            let (refused, took) = loop {
                let began = Instant::now();
                match maps
                    .create(&PostParams::default(), &large(&format!("w{written}")))
                    .await
                {
                    Ok(_) => written += 1,
                    Err(error) => break (error, began.elapsed()),
                }
                assert!(written < 64, "the log never needed another file");
            };
            let kube::Error::Api(status) = &refused else {
                panic!("{refused}")
            };
            assert_eq!(status.code, 503, "{status:?}\n{}", cluster.logs());
            assert!(status.message.contains("space"), "{status:?}");
            assert!(took < Duration::from_secs(7), "{took:?}");
            assert!(maps.get("before").await.is_ok(), "reads go on");
            server.place.give_back();
            let began = Instant::now();
            while let Err(error) = maps.create(&PostParams::default(), &large("after")).await {
                assert!(
                    began.elapsed() < Duration::from_secs(240),
                    "{error}\n{}",
                    cluster.logs()
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(
                maps.get(&format!("w{written}")).await.is_err(),
                "what was refused is there"
            );
        });
    }

    #[test]
    #[ignore = "needs root; tests/run runs it"]
    fn one_server_becomes_three_and_five_and_three_and_one_under_load() {
        on_a_field(1, |mut cluster| async move {
            let mut clients = Clients::start(&cluster).await;
            for number in 2..=5 {
                cluster.join(number).await;
                clients.add(&cluster, number);
            }
            clients.write_again(&cluster, &[1, 2, 3, 4, 5]).await;
            // One is lost with its disk, and a new one takes its place.
            cluster.server_mut(4).kill();
            cluster.server(4).place.wipe();
            cluster.remove(4).await;
            cluster.join(6).await;
            clients.add(&cluster, 6);
            clients.write_again(&cluster, &[1, 2, 3, 5, 6]).await;
            // The leader is among those that leave.
            while cluster.servers.len() > 1 {
                let all: Vec<u8> = cluster.servers.keys().copied().collect();
                let leader = cluster.leader(&all).await;
                let gone = if cluster.servers.len() % 2 == 1 {
                    leader
                } else {
                    cluster.others(leader)[0]
                };
                cluster.remove(gone).await;
                let left: Vec<u8> = cluster.servers.keys().copied().collect();
                clients.write_again(&cluster, &left).await;
            }
            clients.check(&cluster).await;
        });
    }
}
