use std::sync::Arc;
use std::time::Duration;

use controlplane_raft::ServerId;
use controlplane_store::{
    Clock as _, Compare, Entry, Key, Op, Outcome, Range, Revision, StateError, Store, StoreError, Txn, Value,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{PATIENCE, ROOT, any_server};
use crate::clock::SimClock;
use crate::history::{Answer, Asked};
use crate::{Net, Random, Recorder};

/// A client that reads and writes, one call after the other.
#[derive(Debug)]
pub(crate) struct Writer {
    net: Net,
    random: Random,
    recorder: Recorder,
    /// Whether it reads without asking whether that is up to date, and says that it did: a planted bug.
    careless: bool,
    last: Option<Revision>,
    acknowledged: u64,
}

impl Writer {
    /// A client with nothing done yet.
    #[must_use]
    pub(crate) fn new(net: Net, random: Random, recorder: Recorder, careless: bool) -> Self {
        Self {
            net,
            random,
            recorder,
            careless,
            last: None,
            acknowledged: 0,
        }
    }

    /// Makes calls until `stop`.
    pub(crate) async fn run(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let pause = self.random.between(1, 80);
            sleep(Duration::from_millis(pause)).await;
            if let Some((_, store, _)) = any_server(&self.net, &mut self.random) {
                self.call(&store).await;
            }
        }
    }

    /// Writes through the server `id`, again until it was acknowledged; false where that takes longer than `within`.
    pub(crate) async fn must_write(&mut self, id: ServerId, within: Duration) -> bool {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Some((store, _)) = self.net.store(id) {
                let before = self.acknowledged;
                let key = key("healed", id);
                self.commit(&store, vec![], |number| vec![put(&key, number, None)])
                    .await;
                if self.acknowledged > before {
                    return true;
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
        false
    }

    async fn call(&mut self, store: &Store) {
        match self.random.below(20) {
            0..4 => self.create(store).await,
            4..9 => self.update(store).await,
            9..12 => self.delete(store).await,
            12..14 => self.create_pair(store).await,
            14 => self.renew(store).await,
            15..18 => self.list(store).await,
            18 => self.list_local(store).await,
            _ => self.list_past(store).await,
        }
    }

    async fn create(&mut self, store: &Store) {
        let key = self.object();
        let compares = vec![Compare::Absent(key.clone())];
        self.commit(store, compares, |number| vec![put(&key, number, None)])
            .await;
    }

    /// Reads, then writes on condition that nobody else has.
    async fn update(&mut self, store: &Store) {
        let key = self.object();
        let Some(entry) = store.get(&key) else {
            return;
        };
        let compares = vec![Compare::ModRevision(key.clone(), entry.mod_revision)];
        self.commit(store, compares, |number| vec![put(&key, number, None)])
            .await;
    }

    async fn delete(&mut self, store: &Store) {
        let key = self.object();
        let compares = match store.get(&key) {
            Some(entry) if self.random.chance(50) => {
                vec![Compare::ModRevision(key.clone(), entry.mod_revision)]
            }
            _ => vec![],
        };
        self.commit(store, compares, |_| vec![Op::Delete { key }]).await;
    }

    /// As a Service takes its address in one transaction, and gives it back.
    async fn create_pair(&mut self, store: &Store) {
        let number = self.random.below(4);
        let (service, address) = (key("services/a", number), key("addresses", number));
        let taken = store.get(&service).is_some();
        let compare = if taken { Compare::Exists } else { Compare::Absent };
        let compares = vec![compare(service.clone()), compare(address.clone())];
        self.commit(store, compares, |number| {
            let keys = [service, address].into_iter();
            match taken {
                true => keys.map(|key| Op::Delete { key }).collect(),
                false => keys.map(|key| put(&key, number, None)).collect(),
            }
        })
        .await;
    }

    /// A lease or an event: written without condition, gone by itself unless written again.
    async fn renew(&mut self, store: &Store) {
        let key = key("leases/node", self.random.below(3));
        // By the client's clock, which nobody sets off.
        let at = SimClock::default().unix_seconds() + self.random.between(1, 8);
        self.commit(store, vec![], |number| vec![put(&key, number, Some(at))])
            .await;
    }

    async fn list(&mut self, store: &Store) {
        let range = self.range();
        let number = self.recorder.begin(|_| Asked::Consistent(range.clone()));
        let barrier = async {
            if self.careless {
                return Ok(());
            }
            store.read_barrier().await
        };
        let passed = timeout(PATIENCE, barrier).await;
        let answer = match passed {
            Ok(Ok(())) => self.listed(store, &range),
            Ok(Err(_)) | Err(_) => Answer::Nothing,
        };
        self.recorder.end(number, answer);
    }

    async fn list_local(&mut self, store: &Store) {
        let range = self.range();
        let number = self.recorder.begin(|_| Asked::Local(range.clone()));
        let answer = self.listed(store, &range);
        self.recorder.end(number, answer);
    }

    /// Pages of one revision, with whatever is written between them.
    async fn list_past(&mut self, store: &Store) {
        let mut range = Range {
            limit: Some(3),
            at: self.last.filter(|_| self.random.chance(50)),
            ..Range::prefix(ROOT)
        };
        for _ in 0..4 {
            let number = self.recorder.begin(|_| Asked::Local(range.clone()));
            let answer = self.listed(store, &range);
            self.recorder.end(number, answer.clone());
            let Answer::Listed {
                entries,
                revision,
                remaining,
            } = answer
            else {
                return;
            };
            let Some(last) = entries.last().filter(|_| remaining > 0) else {
                return;
            };
            range.after = Some(last.key.clone());
            range.at = Some(revision);
            let pause = self.random.below(30);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    fn listed(&mut self, store: &Store, range: &Range) -> Answer {
        match store.list(range) {
            Ok(listing) => {
                self.last = Some(listing.revision);
                Answer::Listed {
                    entries: listing.entries,
                    revision: listing.revision,
                    remaining: listing.remaining,
                }
            }
            Err(_) => Answer::Nothing,
        }
    }

    async fn commit(&mut self, store: &Store, compares: Vec<Compare>, ops: impl FnOnce(usize) -> Vec<Op>) {
        let mut asked = None;
        let number = self.recorder.begin(|number| {
            let txn = Txn {
                actor: Arc::from(format!("call-{number}")),
                compares,
                ops: ops(number),
            };
            asked = Some(txn.clone());
            Asked::Commit(txn)
        });
        let Ok(outcome) = timeout(PATIENCE, store.commit(asked.unwrap_or_default())).await else {
            return;
        };
        match outcome {
            Ok(Outcome::Committed { revision }) => {
                self.acknowledged += 1;
                self.recorder.end(number, Answer::Committed(revision));
            }
            Ok(Outcome::Refused { current }) => self.recorder.end(number, Answer::Refused(current)),
            // A server that ended has not said which.
            Err(StoreError::Unknown(_) | StoreError::Closed) => self.recorder.count("outcome unknown"),
            Err(StoreError::NotWritten(cause)) if matches!(*cause, StateError::Full(_)) => {
                self.recorder.count("disk full");
                self.recorder.end(number, Answer::Nothing);
            }
            Err(_) => self.recorder.end(number, Answer::Nothing),
        }
    }

    fn object(&mut self) -> Key {
        let folder = if self.random.chance(60) {
            "pods/a"
        } else {
            "pods/b"
        };
        key(folder, self.random.below(6))
    }

    fn range(&mut self) -> Range {
        let prefix = self.random.pick(&[
            ROOT,
            "/registry/pods/",
            "/registry/pods/a/",
            "/registry/services/",
        ]);
        Range::prefix(prefix.copied().unwrap_or(ROOT))
    }
}

#[expect(clippy::expect_used, reason = "the names and values of this file are valid")]
fn key(folder: &str, number: u64) -> Key {
    Key::parse(&format!("{ROOT}{folder}/{number}")).expect("a valid key")
}

/// A value that no other call writes.
#[expect(clippy::expect_used, reason = "an object is a value")]
fn put(key: &Key, number: usize, expires_at: Option<u64>) -> Op {
    let value = Value::encode(&json!({"metadata": {"name": key.name()}, "call": number})).expect("an object");
    Op::Put {
        key: key.clone(),
        value,
        expires_at,
    }
}

/// What is listed, for those who look at the end.
pub(crate) fn everything(store: &Store) -> Option<(Revision, Vec<Arc<Entry>>)> {
    let listing = store.list(&Range::prefix(ROOT)).ok()?;
    Some((listing.revision, listing.entries))
}
