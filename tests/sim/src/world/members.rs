//! Servers come and go.

use std::time::Duration;

use controlplane_raft::{Change, Members, Origin, Role, ServerId};
use tokio::time::{sleep, timeout};

use super::{HEALED_WITHIN, MOST, World};
use crate::host::{End, Host, peer};

impl World {
    /// Starts the first servers; a cluster of several begins as one.
    pub(super) async fn found(&mut self) {
        for number in 0..self.servers {
            let origin = if number == 0 { Origin::Found } else { Origin::Join };
            let id = self.add_host(origin).await;
            if number > 0 && !self.join(id).await {
                self.recorder
                    .found(format!("server {id} does not get a vote, with nothing wrong"));
            }
        }
    }

    pub(super) async fn add_host(&mut self, origin: Origin) -> ServerId {
        let id = self.next_id;
        self.next_id += 1;
        let folder = self.folder.join(id.to_string());
        let mut host = Host::new(id, origin, self.layout, folder, &mut self.random, &self.recorder);
        host.start(&self.net).await;
        self.hosts.insert(id, host);
        id
    }

    /// Gives a server that has started a vote, trying for a while.
    pub(super) async fn join(&mut self, id: ServerId) -> bool {
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

    pub(super) fn leader(&self) -> Option<Members> {
        let mut all = self.hosts.values().filter_map(Host::members);
        all.find(Members::leads)
    }

    /// Removes a server with its disk; what replaces it is another.
    pub(super) async fn replace(&mut self, id: ServerId) {
        // Without it, those whose disks are right might be too few.
        if self.hosts.values().any(|host| host.rotten && host.id != id) {
            return;
        }
        if self.remove(id).await && self.random.chance(60) {
            self.grow().await;
        }
    }

    /// Has a server removed, and throws it away with its disk; whether that was done.
    pub(super) async fn remove(&mut self, id: ServerId) -> bool {
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

    /// Replaces a server that refuses to start for damage by an empty one, which gets everything from the others.
    pub(super) async fn rebuild(&mut self) {
        let damaged = self.hosts.values().find(|host| host.refuses).map(|host| host.id);
        let Some(id) = damaged else { return };
        if self.remove(id).await {
            self.recorder.count("server rebuilt");
            let id = self.add_host(Origin::Join).await;
            self.recorder
                .note(&format_args!("server {id} takes the place of a damaged one"));
        }
    }

    pub(super) async fn grow(&mut self) {
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
}
