use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use controlplane_raft::{Role, ServerId, Tuning};
use controlplane_store::Retention;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::faults::{Direction, Fault, draw};
use crate::host::{End, Host, Layout};
use crate::run::{Bug, Kinds};
use crate::traffic::{Watcher, Writer};
use crate::{Net, Random, Recorder};

mod end;
mod members;

/// How long servers may take to hold the same and take writes again, once nothing goes wrong any more.
const HEALED_WITHIN: Duration = Duration::from_secs(90);
/// Most servers at once.
const MOST: usize = 5;

/// A cluster with its machines, network and clients.
#[derive(Debug)]
pub(crate) struct World {
    random: Random,
    recorder: Recorder,
    net: Net,
    hosts: BTreeMap<ServerId, Host>,
    layout: Layout,
    folder: PathBuf,
    bug: Option<Bug>,
    kinds: Kinds,
    next_id: ServerId,
    servers: u64,
    faults: u64,
    /// Whether the removal of a server was not answered, so that it may yet be done.
    unsure: bool,
    /// What ends by itself, and when.
    passing: Vec<(Instant, Passing)>,
}

/// A fault that passes.
#[derive(Debug, Clone)]
enum Passing {
    Start(ServerId),
    Room(ServerId),
    Held(ServerId),
    Network,
    Slow(ServerId),
}

impl World {
    /// The world of `seed`, in which nothing has happened.
    pub(crate) fn new(seed: u64, bug: Option<Bug>, folder: PathBuf, recorder: Recorder) -> Self {
        let kinds = Kinds::of(seed);
        let mut random = Random::new(seed);
        let net = Net::new(random.fork(), recorder.clone());
        let servers = *random.pick(&[1, 3, 3, 3, 5]).unwrap_or(&3);
        Self {
            layout: layout(&mut random, bug, kinds, seed),
            random,
            recorder,
            net,
            hosts: BTreeMap::new(),
            folder,
            bug,
            kinds,
            unsure: false,
            next_id: 1,
            servers,
            faults: 0,
            passing: Vec::new(),
        }
    }

    /// How many servers it began with.
    pub(crate) fn servers(&self) -> u64 {
        self.servers
    }

    /// How many faults struck.
    pub(crate) fn faults(&self) -> u64 {
        self.faults
    }

    /// Lives through both phases.
    pub(crate) async fn run(&mut self) {
        self.found().await;
        let (stop, stopped) = watch::channel(false);
        let (end, goal) = watch::channel(None);
        let mut clients = JoinSet::new();
        for number in 0..4 {
            let careless = self.bug == Some(Bug::CarelessReads) && number < 2;
            let writer = Writer::new(
                self.net.clone(),
                self.random.fork(),
                self.recorder.clone(),
                careless,
            );
            clients.spawn(writer.run(stopped.clone()));
        }
        let mut watchers = JoinSet::new();
        for prefix in ["/registry/", "/registry/pods/a/", "/registry/services/"] {
            let watcher = Watcher::new(
                self.net.clone(),
                self.random.fork(),
                self.recorder.clone(),
                prefix,
            );
            watchers.spawn(watcher.run(goal.clone()));
        }
        self.suffer().await;
        self.heal().await;
        stop.send_replace(true);
        if timeout(HEALED_WITHIN, async {
            while clients.join_next().await.is_some() {}
        })
        .await
        .is_err()
        {
            self.recorder
                .found("a client's call is never answered".to_owned());
        }
        self.converge().await;
        let goal = self.recorder.set_goal();
        self.look(goal).await;
        end.send_replace(Some(goal));
        if timeout(HEALED_WITHIN, async {
            while watchers.join_next().await.is_some() {}
        })
        .await
        .is_err()
        {
            self.recorder.found(format!(
                "a watch never reaches revision {}",
                self.recorder.newest()
            ));
        }
        // What a watch has delivered last, and came by itself, is on no disk yet.
        sleep(Duration::from_secs(2)).await;
    }

    /// The phase with faults.
    async fn suffer(&mut self) {
        let until = Instant::now() + Duration::from_secs(self.random.between(10, 30));
        while Instant::now() < until {
            let pause = self.random.between(50, 2500);
            sleep(Duration::from_millis(pause)).await;
            self.pass().await;
            self.rebuild().await;
            let ids: Vec<ServerId> = self.hosts.keys().copied().collect();
            if let Some(fault) = draw(&mut self.random, &ids, self.kinds) {
                self.recorder.note(&format_args!("fault {fault:?}"));
                self.faults += 1;
                self.strike(fault).await;
            }
        }
    }

    async fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::End(id, how, pause) => self.end(id, how, pause).await,
            Fault::Blackout(pause) => {
                let ids: Vec<ServerId> = self.hosts.keys().copied().collect();
                for id in ids {
                    self.end(id, End::PowerCut, pause).await;
                }
            }
            Fault::Disk(id, operations, fault) => {
                if let Some(host) = self.hosts.get(&id) {
                    host.disk.fail_after(operations, fault);
                }
                // Whatever watches over servers ends one whose disk failed, and starts it again.
                self.later(Duration::from_secs(2), Passing::Start(id));
            }
            Fault::Full(id, pause) => {
                if let Some(host) = self.hosts.get(&id) {
                    host.set_full(true);
                }
                self.later(pause, Passing::Room(id));
            }
            Fault::Partition(some, direction, pause) => self.partition(&some, direction, pause),
            Fault::Hold(id, pause) => {
                self.net.hold(id, true);
                self.later(pause, Passing::Held(id));
            }
            Fault::Bad(loss, slowest, pause) => {
                self.net.set_quality(loss, slowest);
                self.later(pause, Passing::Network);
            }
            Fault::Clock(id, seconds) => {
                if let Some(host) = self.hosts.get(&id) {
                    host.clock.jump(seconds);
                }
            }
            Fault::Replace(id) => self.replace(id).await,
            Fault::Join => self.grow().await,
            Fault::Slow(id, longer, pause) => {
                if let Some(host) = self.hosts.get(&id) {
                    host.pace.stall(longer);
                    self.recorder.count("disk slow");
                }
                self.later(pause, Passing::Slow(id));
            }
            Fault::Rot(id, how, pause) => self.rot(id, how, pause).await,
        }
    }

    async fn end(&mut self, id: ServerId, how: End, pause: Duration) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.end(&self.net, how).await;
        }
        self.later(pause, Passing::Start(id));
    }

    fn partition(&mut self, some: &[ServerId], direction: Direction, pause: Duration) {
        let others: Vec<ServerId> = self
            .hosts
            .keys()
            .copied()
            .filter(|id| !some.contains(id))
            .collect();
        if direction != Direction::In {
            self.net.cut(some, &others);
        }
        if direction != Direction::Out {
            self.net.cut(&others, some);
        }
        self.later(pause, Passing::Network);
    }

    /// Damages what a server has on disk, unless what others have would not do then.
    async fn rot(&mut self, id: ServerId, how: Option<End>, pause: Duration) {
        let members = self.leader().map(|members| members.list()).unwrap_or_default();
        let voters = members.iter().filter(|info| info.role != Role::Learner);
        let voters: Vec<ServerId> = voters.map(|info| info.id).collect();
        let enough = voters.len() > if self.unsure { 3 } else { 2 };
        let all_right = self.hosts.values().all(|host| !host.rotten);
        if !enough || !all_right || !voters.iter().all(|id| self.hosts.contains_key(id)) {
            return;
        }
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let Some(what) = host.rot(&mut self.random) else {
            return;
        };
        self.recorder.count("bit flipped");
        self.recorder.note(&format_args!("server {id} rots: {what}"));
        match how {
            Some(how) => self.end(id, how, pause).await,
            None => self.later(pause, Passing::Start(id)),
        }
    }

    fn later(&mut self, pause: Duration, passing: Passing) {
        self.passing.push((Instant::now() + pause, passing));
    }

    /// Ends what has lasted long enough.
    async fn pass(&mut self) {
        let now = Instant::now();
        let (due, rest) = std::mem::take(&mut self.passing)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.passing = rest;
        let due: Vec<(Instant, Passing)> = due;
        for (_, passing) in due {
            match passing {
                Passing::Start(id) => self.restart(id).await,
                Passing::Room(id) => self
                    .hosts
                    .get(&id)
                    .into_iter()
                    .for_each(|host| host.set_full(false)),
                Passing::Held(id) => self.net.hold(id, false),
                Passing::Network => self.net.heal(),
                Passing::Slow(id) => self
                    .hosts
                    .get(&id)
                    .into_iter()
                    .for_each(|host| host.pace.stall(Duration::ZERO)),
            }
        }
    }

    /// Starts a server that does not run, and one whose disk has failed anew.
    async fn restart(&mut self, id: ServerId) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let struck = host.disk.take_struck();
        if struck {
            self.recorder.count("disk failed");
        }
        if !host.is_up() || struck {
            host.end(&self.net, End::Killed).await;
            host.start(&self.net).await;
        }
    }
}

fn layout(random: &mut Random, bug: Option<Bug>, kinds: Kinds, seed: u64) -> Layout {
    let log = controlplane_wal::Options {
        segment_bytes: random.between(4, 64) << 10,
        fill_bytes: 4 << 10,
    };
    // The log once kept records in memory, as many as this draw said; without it seeds would mean other worlds.
    random.below(8 << 10);
    Layout {
        log,
        tuning: Tuning {
            snapshot_every: random.between(10, 400),
            keep_entries: random.between(1, 100),
        },
        history: Retention {
            revisions: usize::try_from(random.between(20, 1500)).unwrap_or(1000),
            seconds: random.between(5, 300),
            ..Retention::default()
        },
        sync: match kinds {
            Kinds::First => Duration::ZERO,
            Kinds::All => usual_sync(seed),
        },
        lying_disks: bug == Some(Bug::LyingDisks),
    }
}

/// How long disks usually take in the world of `seed`, from none to those that turn.
fn usual_sync(seed: u64) -> Duration {
    let choices = [0, 200, 1000, 5000, 20_000];
    let micros = Random::new(seed.wrapping_mul(3)).pick(&choices).copied();
    Duration::from_micros(micros.unwrap_or(1000))
}
