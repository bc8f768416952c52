use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use controlplane_raft::{Peer, ServerId, Service, Transport, TransportError};
use controlplane_store::{Cause, Pending, Store};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::{Random, Recorder};

/// The network between servers: it delays each message by its own lot, so that they overtake each other, loses some,
/// and does as it is told about who reaches whom. Clones are the same network.
#[derive(Debug, Clone)]
pub struct Net(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    random: Random,
    recorder: Recorder,
    ends: BTreeMap<ServerId, End>,
    boots: BTreeMap<ServerId, u64>,
    /// From whom nothing reaches whom.
    cut: BTreeSet<(ServerId, ServerId)>,
    /// Servers whose messages wait, in and out, as those of a stopped process do.
    held: BTreeSet<ServerId>,
    loss_percent: u64,
    slowest: Duration,
}

/// A running server.
#[derive(Debug)]
struct End {
    boot: u64,
    service: Service,
    store: Store,
    /// What it does for its peers; ends with it.
    tasks: JoinSet<()>,
}

/// A server's way to others.
#[derive(Debug)]
pub struct Wire {
    from: ServerId,
    boot: u64,
    net: Net,
}

/// Whether a message goes on.
enum Fate {
    Arrives,
    Waits,
    Lost,
}

impl Net {
    /// A network that works.
    #[must_use]
    pub fn new(random: Random, recorder: Recorder) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            random,
            recorder,
            ends: BTreeMap::new(),
            boots: BTreeMap::new(),
            cut: BTreeSet::new(),
            held: BTreeSet::new(),
            loss_percent: 0,
            slowest: Duration::from_millis(5),
        })))
    }

    /// The way of the server `id` that is about to start.
    #[must_use]
    pub fn wire(&self, id: ServerId) -> Wire {
        let mut inner = self.inner();
        let boot = inner.boots.entry(id).or_default();
        *boot += 1;
        Wire {
            from: id,
            boot: *boot,
            net: self.clone(),
        }
    }

    /// Lets others reach a server that has started.
    pub fn plug(&self, id: ServerId, service: Service, store: Store) {
        let mut inner = self.inner();
        let boot = inner.boots.get(&id).copied().unwrap_or_default();
        let end = End {
            boot,
            service,
            store,
            tasks: JoinSet::new(),
        };
        inner.ends.insert(id, end);
    }

    /// Ends everything that a server has on the network; its old wires are dead.
    pub fn unplug(&self, id: ServerId) {
        let mut inner = self.inner();
        *inner.boots.entry(id).or_default() += 1;
        let end = inner.ends.remove(&id);
        drop(inner);
        drop(end);
    }

    /// The servers that run.
    #[must_use]
    pub fn running(&self) -> Vec<ServerId> {
        self.inner().ends.keys().copied().collect()
    }

    /// The store of a server that runs, and its boot.
    #[must_use]
    pub fn store(&self, id: ServerId) -> Option<(Store, u64)> {
        let inner = self.inner();
        inner.ends.get(&id).map(|end| (end.store.clone(), end.boot))
    }

    /// Whether the server that ran as `boot` still does.
    #[must_use]
    pub fn is_up(&self, id: ServerId, boot: u64) -> bool {
        self.inner().ends.get(&id).is_some_and(|end| end.boot == boot)
    }

    /// Lets nothing through from each of `from` to each of `to`.
    pub fn cut(&self, from: &[ServerId], to: &[ServerId]) {
        let pairs = from.iter().flat_map(|from| to.iter().map(|to| (*from, *to)));
        self.inner().cut.extend(pairs);
    }

    /// Makes a server's messages wait, or go on.
    pub fn hold(&self, id: ServerId, held: bool) {
        let mut inner = self.inner();
        if held {
            inner.held.insert(id);
        } else {
            inner.held.remove(&id);
        }
    }

    /// Sets how many of a hundred messages get lost, and how long one takes at most.
    pub fn set_quality(&self, loss_percent: u64, slowest: Duration) {
        let mut inner = self.inner();
        inner.loss_percent = loss_percent;
        inner.slowest = slowest;
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        let mut inner = self.inner();
        inner.cut.clear();
        inner.held.clear();
        inner.loss_percent = 0;
        inner.slowest = Duration::from_millis(5);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self, from: ServerId, to: ServerId) -> Fate {
        let mut inner = self.inner();
        let loss = inner.loss_percent;
        if inner.cut.contains(&(from, to)) || inner.random.chance(loss) {
            inner.recorder.count("message lost");
            Fate::Lost
        } else if inner.held.contains(&from) || inner.held.contains(&to) {
            Fate::Waits
        } else {
            Fate::Arrives
        }
    }

    /// Takes a message along; false where it got lost.
    async fn carry(&self, from: ServerId, to: ServerId) -> bool {
        let delay = {
            let mut inner = self.inner();
            let slowest = u64::try_from(inner.slowest.as_micros()).unwrap_or(u64::MAX);
            Duration::from_micros(inner.random.between(50, slowest.max(51)))
        };
        sleep(delay).await;
        loop {
            match self.fate(from, to) {
                Fate::Arrives => return true,
                Fate::Lost => return false,
                Fate::Waits => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Has the server `to` answer, on a task of its own that nobody but its end stops.
    fn deliver(&self, from: ServerId, to: ServerId, request: Bytes) -> Option<oneshot::Receiver<Bytes>> {
        let mut inner = self.inner();
        let end = inner.ends.get_mut(&to)?;
        let service = end.service.clone();
        let (reply, answer) = oneshot::channel();
        end.tasks.spawn(async move {
            let answered = service.handle(from, &request).await;
            // Whoever asked may have given up.
            drop(reply.send(answered));
        });
        while end.tasks.try_join_next().is_some() {}
        Some(answer)
    }

    fn is_current(&self, id: ServerId, boot: u64) -> bool {
        self.inner().boots.get(&id) == Some(&boot)
    }
}

impl Wire {
    async fn exchange(&self, to: ServerId, request: Bytes) -> Result<Bytes, TransportError> {
        let broken = |cause: &str| TransportError::Broken {
            to,
            cause: Cause::from(cause.to_owned()),
        };
        if !self.net.is_current(self.from, self.boot) {
            std::future::pending::<()>().await;
        }
        if !self.net.carry(self.from, to).await {
            // Refused at once, or never answered.
            let refused = self.net.inner().random.chance(50);
            if refused {
                let cause = Cause::from("the network is cut");
                return Err(TransportError::NotSent { to, cause });
            }
            std::future::pending::<()>().await;
        }
        let Some(answer) = self.net.deliver(self.from, to, request) else {
            let cause = Cause::from("nobody listens there");
            return Err(TransportError::NotSent { to, cause });
        };
        let Ok(answer) = answer.await else {
            return Err(broken("the peer has ended"));
        };
        if !self.net.carry(to, self.from).await {
            let told = self.net.inner().random.chance(50);
            if told {
                return Err(broken("the connection broke"));
            }
            std::future::pending::<()>().await;
        }
        if !self.net.is_current(self.from, self.boot) {
            std::future::pending::<()>().await;
        }
        let recorder = self.net.inner().recorder.clone();
        recorder.note(&format_args!(
            "message {}>{to} answered, {} bytes",
            self.from,
            answer.len()
        ));
        Ok(answer)
    }
}

impl Transport for Wire {
    fn call(
        &self,
        to: ServerId,
        _peer: &Peer,
        request: Bytes,
        _deadline: Duration,
    ) -> Pending<'_, Result<Bytes, TransportError>> {
        Box::pin(self.exchange(to, request))
    }
}
