//! The end of a world: everything works again, and each server is looked at.

use std::time::Duration;

use controlplane_raft::{Change, Role, ServerId};
use controlplane_store::Revision;
use tokio::time::{Instant, sleep, timeout};

use super::{HEALED_WITHIN, World};
use crate::host::{Host, peer};
use crate::traffic::{Writer, everything};

impl World {
    /// Makes everything work again and waits until it does.
    pub(super) async fn heal(&mut self) {
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
    pub(super) async fn all_vote(&mut self) -> bool {
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
    pub(super) async fn converge(&mut self) {
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
    pub(super) async fn look(&self, goal: Revision) {
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

    pub(super) fn has_reached(&self, id: ServerId, goal: Revision) -> bool {
        self.net
            .store(id)
            .is_some_and(|(store, _)| store.revision() >= goal)
    }
}
