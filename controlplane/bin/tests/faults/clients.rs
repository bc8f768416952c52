//! Clients that keep what they were told: each write is acknowledged, refused, or of unknown outcome, and the end must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::task::JoinSet;

use crate::server::{Cluster, Server, eventually};

/// The object that all clients count up together.
const COUNTER: &str = "counter";
/// One in so many writes counts, and one in so many is read back through another server.
const COUNTS: u32 = 4;
const READS: u32 = 3;
/// How long a read through another server may take.
const READ: Duration = Duration::from_millis(500);
/// Bytes of each object's text.
const TEXT: usize = 512;

/// What clients were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    acknowledged: BTreeSet<String>,
    /// With the reason.
    refused: BTreeMap<String, String>,
    /// How many for which reason.
    unknown: BTreeMap<String, u32>,
    counted: u32,
    maybe_counted: u32,
    /// What must never happen.
    wrong: Vec<String>,
    /// When the newest acknowledged write of each server began.
    last: BTreeMap<u8, Instant>,
}

/// How one write ended.
#[derive(Debug)]
enum End {
    Acknowledged,
    /// Nothing was changed, for certain, and why.
    Refused(String),
    /// Nobody was there to be asked.
    Away,
    /// The object had changed meanwhile.
    Conflict,
    Unknown(String),
}

/// Clients at work, one for each server.
pub(crate) struct Clients {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Clients {
    /// Starts a client of each server of `cluster`.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let mut clients = Self {
            told: Arc::default(),
            stop: Arc::default(),
            tasks: JoinSet::new(),
        };
        let first = maps(cluster.servers.values().next().unwrap().client());
        // A conflict is the end of a try whose answer was lost.
        eventually("the counter is there", cluster, || async {
            matches!(create(&first, COUNTER).await, End::Acknowledged | End::Conflict)
        })
        .await;
        for number in cluster.servers.keys() {
            clients.add(cluster, *number);
        }
        clients
    }

    /// Starts a client of the server `number`, which reads back through any other.
    pub(crate) fn add(&mut self, cluster: &Cluster, number: u8) {
        let other = cluster.others(number).first().copied().unwrap_or(number);
        let worker = Worker {
            number,
            own: maps(cluster.server(number).client()),
            other: maps(cluster.server(other).client()),
            told: Arc::clone(&self.told),
            stop: Arc::clone(&self.stop),
        };
        self.tasks.spawn(worker.run());
    }

    /// Waits until writes that begin from now on are acknowledged through each of `through`; returns how long that took.
    pub(crate) async fn write_again(&self, cluster: &Cluster, through: &[u8]) -> Duration {
        let begun = Instant::now();
        for number in through {
            eventually("writes go on", cluster, || async {
                let told = self.told.lock().unwrap();
                told.last.get(number).is_some_and(|last| *last > begun)
            })
            .await;
        }
        begun.elapsed()
    }

    /// Waits until a write through `number` that begins from now on is refused for certain.
    pub(crate) async fn refused(&self, cluster: &Cluster) {
        let count = || self.told.lock().unwrap().refused.len();
        let before = count();
        eventually("writes are refused", cluster, || async { count() > before + 3 }).await;
    }

    /// Ends the clients, and compares what they were told with what every server shows.
    pub(crate) async fn check(mut self, cluster: &Cluster) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        assert!(told.wrong.is_empty(), "{:#?}", told.wrong);
        assert!(
            told.acknowledged.len() > 10,
            "hardly anything was written: {told:?}"
        );
        for server in cluster.servers.values() {
            told.agrees(cluster, server).await;
        }
        let (acknowledged, refused) = (told.acknowledged.len(), told.refused.len());
        println!(
            "{acknowledged} writes acknowledged, {refused} refused, counted {}, unknown: {:#?}",
            told.counted, told.unknown
        );
    }
}

impl Told {
    /// Everything acknowledged is there, nothing refused is, and no count was lost or counted twice.
    async fn agrees(&self, cluster: &Cluster, server: &Server) {
        let maps = maps(server.client());
        let shown = Mutex::new(Vec::new());
        eventually("a server shows what it has", cluster, || async {
            let listed = maps.list(&ListParams::default()).await;
            listed.is_ok_and(|list| {
                *shown.lock().unwrap() = list.items;
                true
            })
        })
        .await;
        let shown = shown.into_inner().unwrap();
        let counter = |map: &&ConfigMap| map.metadata.name.as_deref() == Some(COUNTER);
        let count = count_of(shown.iter().find(counter).unwrap());
        let names: BTreeSet<String> = shown.into_iter().filter_map(|map| map.metadata.name).collect();
        let who = server.place.name();
        let lost: Vec<_> = self.acknowledged.difference(&names).collect();
        assert!(lost.is_empty(), "{who} lost {lost:?}");
        let there: Vec<_> = self
            .refused
            .iter()
            .filter(|(name, _)| names.contains(*name))
            .collect();
        assert!(there.is_empty(), "{who} has what was refused: {there:?}");
        let most = self.counted + self.maybe_counted;
        assert!(
            (self.counted..=most).contains(&count),
            "{who} counted {count}: {self:?}"
        );
    }
}

/// One client of one server.
struct Worker {
    number: u8,
    own: Api<ConfigMap>,
    other: Api<ConfigMap>,
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    async fn run(self) {
        let mut turn = 0;
        while !self.stop.load(Ordering::SeqCst) {
            turn += 1;
            let began = Instant::now();
            let acknowledged = match turn % COUNTS {
                0 => self.count().await,
                _ => self.write(turn).await,
            };
            match acknowledged {
                true => drop(self.told.lock().unwrap().last.insert(self.number, began)),
                // A server that is away is not asked in a tight loop.
                false => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn write(&self, turn: u32) -> bool {
        let name = format!("s{}-{turn}", self.number);
        let end = create(&self.own, &name).await;
        let acknowledged = matches!(end, End::Acknowledged);
        {
            let mut told = self.told.lock().unwrap();
            match end {
                End::Acknowledged => drop(told.acknowledged.insert(name.clone())),
                End::Refused(why) => drop(told.refused.insert(name.clone(), why)),
                End::Unknown(why) => *told.unknown.entry(why).or_default() += 1,
                End::Away => {}
                End::Conflict => told.wrong.push(format!("{name} existed before it was written")),
            }
        }
        if acknowledged && turn.is_multiple_of(READS) {
            self.read_back(&name).await;
        }
        acknowledged
    }

    /// What was acknowledged through one server is seen through another.
    async fn read_back(&self, name: &str) {
        // The other one may be paused or cut off; this client is not to wait for it.
        let read = tokio::time::timeout(READ, self.other.get(name)).await;
        if let Ok(Err(kube::Error::Api(status))) = read
            && status.code == 404
        {
            let wrong = format!("{name} was acknowledged, then not found through another server");
            self.told.lock().unwrap().wrong.push(wrong);
        }
    }

    /// Adds one to the counter that all clients share.
    async fn count(&self) -> bool {
        let Ok(mut counter) = self.own.get(COUNTER).await else {
            return false;
        };
        let count = count_of(&counter);
        let data = counter.data.get_or_insert_default();
        data.insert("count".to_owned(), (count + 1).to_string());
        let end = ended(self.own.replace(COUNTER, &PostParams::default(), &counter).await);
        let mut told = self.told.lock().unwrap();
        match end {
            End::Acknowledged => told.counted += 1,
            End::Unknown(_) => told.maybe_counted += 1,
            End::Refused(_) | End::Away | End::Conflict => {}
        }
        matches!(end, End::Acknowledged)
    }
}

pub(crate) fn maps(client: Client) -> Api<ConfigMap> {
    Api::namespaced(client, "default")
}

fn count_of(counter: &ConfigMap) -> u32 {
    let text = counter.data.as_ref().and_then(|data| data.get("count"));
    text.map_or(0, |text| text.parse().unwrap())
}

async fn create(maps: &Api<ConfigMap>, name: &str) -> End {
    let object = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([("text".to_owned(), "x".repeat(TEXT))].into()),
        ..ConfigMap::default()
    };
    ended(maps.create(&PostParams::default(), &object).await)
}

/// What an answer says of the write. 503 promises that nothing was changed.
fn ended<T>(answer: kube::Result<T>) -> End {
    match answer {
        Ok(_) => End::Acknowledged,
        Err(kube::Error::Api(status)) => match status.code {
            503 => End::Refused(status.message),
            409 => End::Conflict,
            _ => End::Unknown(status.message),
        },
        Err(error) if error.to_string().contains("(Connect)") => End::Away,
        Err(error) => End::Unknown(error.to_string()),
    }
}
