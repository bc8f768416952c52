use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use controlplane_raft::{Change, Members, Origin, Role, ServerId, Tuning};
use controlplane_store::{Retention, Revision};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::faults::{Direction, Fault, draw};
use crate::host::{End, Host, Layout, peer};
use crate::run::{Bug, Kinds};
use crate::traffic::{Watcher, Writer, everything};
use crate::{Net, Random, Recorder};

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

    /// Starts the first servers; a cluster of several begins as one.
    async fn found(&mut self) {
        for number in 0..self.servers {
            let origin = if number == 0 { Origin::Found } else { Origin::Join };
            let id = self.add_host(origin).await;
            if number > 0 && !self.join(id).await {
                self.recorder
                    .found(format!("server {id} does not get a vote, with nothing wrong"));
            }
        }
    }

    async fn add_host(&mut self, origin: Origin) -> ServerId {
        let id = self.next_id;
        self.next_id += 1;
        let folder = self.folder.join(id.to_string());
        let mut host = Host::new(id, origin, self.layout, folder, &mut self.random, &self.recorder);
        host.start(&self.net).await;
        self.hosts.insert(id, host);
        id
    }

    /// Gives a server that has started a vote, trying for a while.
    async fn join(&mut self, id: ServerId) -> bool {
        for _ in 0..40 {
            if let Some(members) = self.leader() {
                let added = timeout(HEALED_WITHIN, members.change(Change::Add(id, peer(id)))).await;
                let promoted = timeout(HEALED_WITHIN, members.change(Change::Promote(id))).await;
                self.recorder
                    .note(&format_args!("join {id}: {added:?}, {promoted:?}"));
                if members
                    .list()
                    .iter()
                    .any(|info| info.id == id && info.role != Role::Learner)
                {
                    return true;
                }
            }
            sleep(Duration::from_millis(250)).await;
        }
        false
    }

    fn leader(&self) -> Option<Members> {
        let mut all = self.hosts.values().filter_map(Host::members);
        all.find(Members::leads)
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

    /// Removes a server with its disk; what replaces it is another.
    async fn replace(&mut self, id: ServerId) {
        // Without it, those whose disks are right might be too few.
        if self.hosts.values().any(|host| host.rotten && host.id != id) {
            return;
        }
        if self.remove(id).await && self.random.chance(60) {
            self.grow().await;
        }
    }

    /// Has a server removed, and throws it away with its disk; whether that was done.
    async fn remove(&mut self, id: ServerId) -> bool {
        let Some(members) = self.leader().filter(|_| self.hosts.len() > 1) else {
            return false;
        };
        let removed = timeout(Duration::from_secs(5), members.change(Change::Remove(id))).await;
        self.recorder.note(&format_args!("remove {id}: {removed:?}"));
        if !matches!(removed, Ok(Ok(()))) {
            self.unsure = true;
            return false;
        }
        if let Some(mut host) = self.hosts.remove(&id) {
            host.end(&self.net, End::Killed).await;
        }
        self.recorder.count("server removed");
        true
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

    /// Replaces a server that refuses to start for damage by an empty one, which gets everything from the others.
    async fn rebuild(&mut self) {
        let damaged = self.hosts.values().find(|host| host.refuses).map(|host| host.id);
        let Some(id) = damaged else { return };
        if self.remove(id).await {
            self.recorder.count("server rebuilt");
            let id = self.add_host(Origin::Join).await;
            self.recorder
                .note(&format_args!("server {id} takes the place of a damaged one"));
        }
    }

    async fn grow(&mut self) {
        if self.hosts.len() >= MOST || self.servers == 1 && self.random.chance(70) {
            return;
        }
        self.recorder.count("server added");
        let id = self.add_host(Origin::Join).await;
        if let Some(members) = self.leader() {
            let change = Change::Add(id, peer(id));
            let added = timeout(Duration::from_secs(5), members.change(change)).await;
            self.recorder.note(&format_args!("add {id}: {added:?}"));
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

    /// Makes everything work again and waits until it does.
    async fn heal(&mut self) {
        self.recorder.note(&"healing");
        self.net.heal();
        self.passing.clear();
        for host in self.hosts.values_mut() {
            host.disk.clear_faults();
            host.set_full(false);
            host.pace.stall(Duration::ZERO);
        }
        let ids: Vec<ServerId> = self.hosts.keys().copied().collect();
        for id in &ids {
            self.restart(*id).await;
        }
        let until = Instant::now() + HEALED_WITHIN;
        // A removal that was cut off is ended within a second or two, after which its server must be added again.
        let mut settled = 0;
        while settled < 8 {
            settled = if self.all_vote().await { settled + 1 } else { 0 };
            if Instant::now() > until {
                let all: Vec<_> = self
                    .hosts
                    .values()
                    .filter_map(Host::members)
                    .map(|members| (members.own_id(), members.list()))
                    .collect();
                self.recorder.found(format!(
                    "not every server has a vote a while after everything works: {all:?}"
                ));
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Whether all servers run and vote; those that do not are helped as an operator would.
    async fn all_vote(&mut self) -> bool {
        self.rebuild().await;
        let ids: Vec<ServerId> = self.hosts.keys().copied().collect();
        for id in &ids {
            if let Some(host) = self.hosts.get_mut(id) {
                host.start(&self.net).await;
            }
        }
        let Some(members) = self.leader() else {
            return false;
        };
        let votes = |id: &ServerId| {
            members
                .list()
                .iter()
                .any(|info| info.id == *id && info.role != Role::Learner)
        };
        let missing: Vec<ServerId> = ids.iter().copied().filter(|id| !votes(id)).collect();
        for id in &missing {
            let changes = [Change::Add(*id, peer(*id)), Change::Promote(*id)];
            for change in changes {
                let changed = timeout(HEALED_WITHIN, members.change(change)).await;
                self.recorder.note(&format_args!("heal {id}: {changed:?}"));
            }
        }
        missing.is_empty()
    }

    /// Every server takes a write and then holds the same.
    async fn converge(&mut self) {
        let ids: Vec<ServerId> = self.hosts.keys().copied().collect();
        let mut writer = Writer::new(self.net.clone(), self.random.fork(), self.recorder.clone(), false);
        for id in &ids {
            if !writer.must_write(*id, HEALED_WITHIN).await {
                self.recorder.found(format!(
                    "server {id} takes no write a while after everything works"
                ));
            }
        }
        // What has reached memory reaches the state on disk a moment later, and with it the recorder.
        sleep(Duration::from_secs(2)).await;
    }

    /// Notes what each server holds once it has reached `goal`.
    async fn look(&self, goal: Revision) {
        for id in self.hosts.keys() {
            let until = Instant::now() + HEALED_WITHIN;
            while !self.has_reached(*id, goal) && Instant::now() < until {
                sleep(Duration::from_millis(100)).await;
            }
            match self.net.store(*id).and_then(|(store, _)| everything(&store)) {
                Some((revision, entries)) => self.recorder.finally(format!("server-{id}"), revision, entries),
                None => self
                    .recorder
                    .found(format!("server {id} cannot be read in the end")),
            }
        }
        // As above, for what came by itself meanwhile.
        sleep(Duration::from_secs(2)).await;
    }

    fn has_reached(&self, id: ServerId, goal: Revision) -> bool {
        self.net
            .store(id)
            .is_some_and(|(store, _)| store.revision() >= goal)
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
