use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use controlplane_store::{Batch, Entry, Key, Range, Revision, Txn};

/// A place in the one order in which everything was observed to begin and end.
pub type Moment = u64;

/// All that clients did and saw, and what the servers' state machines applied.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Calls, in the order in which they began.
    pub calls: Vec<Call>,
    /// Watches of clients, each with everything that was delivered.
    pub watches: Vec<Watched>,
    /// What was applied, by revision: the truth.
    pub applied: BTreeMap<Revision, Arc<Batch>>,
    /// What each server held in the end, once all of them had healed.
    pub finals: Vec<(String, Revision, Vec<Arc<Entry>>)>,
    /// The revision that everybody had to reach in the end; what came after it did so by itself.
    pub goal: Option<Revision>,
    /// How often things happened that a run is meant to bring about.
    pub counts: BTreeMap<&'static str, u64>,
    /// What was found wrong already while it was recorded.
    pub found: Vec<String>,
    now: Moment,
}

/// One call of a client.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its number, which is also the actor of its transaction: `call-<number>`.
    pub number: usize,
    /// When it was made.
    pub begin: Moment,
    /// When it was answered, if it was.
    pub end: Option<Moment>,
    /// What was asked.
    pub asked: Asked,
    /// What was answered.
    pub answer: Answer,
}

/// What a client asks.
#[derive(Debug, Clone)]
pub enum Asked {
    /// A transaction.
    Commit(Txn),
    /// A list that must show everything acknowledged before it.
    Consistent(Range),
    /// A list of whatever the server knows.
    Local(Range),
}

/// What a client is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Nothing, or that it cannot be told: it may take effect once, at any later time.
    Unknown,
    /// Nothing was and will be changed, or nothing is known.
    Nothing,
    /// Committed.
    Committed(Revision),
    /// A compare did not hold.
    Refused(Vec<Option<Arc<Entry>>>),
    /// A list.
    Listed {
        /// The values.
        entries: Vec<Arc<Entry>>,
        /// The revision it speaks of.
        revision: Revision,
        /// How many more there are.
        remaining: u64,
    },
}

/// A watch of a client, which goes on with another server where one breaks.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What is watched.
    pub prefix: String,
    /// After which revision it began.
    pub after: Revision,
    /// What was delivered, in order.
    pub delivered: Vec<Delivery>,
    /// The newest revision up to which it said to have delivered everything when the run ended; none where it ended
    /// before, as one that fell behind history does.
    pub complete_to: Option<Revision>,
}

/// Something that a watch delivered.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The events of one transaction.
    Batch(Arc<Batch>),
    /// Everything up to this revision has been delivered.
    Bookmark(Revision),
}

/// Writes a history, from many tasks. Clones write the same one.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<(History, Trace)>>);

/// A hash of everything that happened, by which two runs are compared, and its text where it is wanted.
#[derive(Debug)]
struct Trace {
    hash: u64,
    notes: u64,
    print: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            notes: 0,
            print: false,
        }
    }
}

impl Recorder {
    /// A recorder that also prints what it notes.
    #[must_use]
    pub fn printing() -> Self {
        let recorder = Self::default();
        recorder.inner().1.print = true;
        recorder
    }

    fn inner(&self) -> MutexGuard<'_, (History, Trace)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something that happened to the trace.
    #[expect(clippy::print_stderr, reason = "whoever debugs a seed asked for it")]
    pub fn note(&self, what: &dyn Display) {
        let mut inner = self.inner();
        let line = format!("{:?} {what}", tokio::time::Instant::now().duration_since(start()));
        for byte in line.bytes() {
            inner.1.hash = (inner.1.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        inner.1.notes += 1;
        if inner.1.print {
            eprintln!("{line}");
        }
    }

    /// Hash of everything noted, and how much that was.
    #[must_use]
    pub fn trace(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.1.hash, inner.1.notes)
    }

    /// Notes that a client asks something; returns the call's number.
    pub fn begin(&self, asked: impl FnOnce(usize) -> Asked) -> usize {
        let mut inner = self.inner();
        let number = inner.0.calls.len();
        let begin = inner.0.tick();
        inner.0.calls.push(Call {
            number,
            begin,
            end: None,
            asked: asked(number),
            answer: Answer::Unknown,
        });
        number
    }

    /// Notes what call `number` was answered.
    pub fn end(&self, number: usize, answer: Answer) {
        self.note(&format_args!("call {number}: {}", brief(&answer)));
        match &answer {
            Answer::Refused(_) => self.count("write refused"),
            Answer::Nothing => self.count("call failed"),
            Answer::Unknown | Answer::Committed(_) | Answer::Listed { .. } => {}
        }
        let mut inner = self.inner();
        let end = inner.0.tick();
        if let Some(call) = inner.0.calls.get_mut(number) {
            call.end = Some(end);
            call.answer = answer;
        }
    }

    /// Notes that `server` applied `batch`; all servers must apply the same.
    pub fn applied(&self, server: &str, batch: &Arc<Batch>) {
        let known = self.inner().0.applied.get(&batch.revision).cloned();
        match known {
            None => {
                self.note(&format_args!("applied {} by {}", batch.revision, batch.actor));
                self.inner().0.applied.insert(batch.revision, Arc::clone(batch));
            }
            Some(known) if known == *batch => {}
            Some(known) => self.found(format!(
                "{server} applied another transaction at revision {}: {batch:?}, others {known:?}",
                batch.revision
            )),
        }
    }

    /// Counts something that a run is meant to bring about.
    pub fn count(&self, what: &'static str) {
        *self.inner().0.counts.entry(what).or_default() += 1;
    }

    /// Notes that something is wrong.
    pub fn found(&self, what: String) {
        self.note(&what);
        self.inner().0.found.push(what);
    }

    /// Adds a client's watch once it has ended.
    pub fn watched(&self, watched: Watched) {
        self.inner().0.watches.push(watched);
    }

    /// Notes what a server holds in the end.
    pub fn finally(&self, server: String, revision: Revision, entries: Vec<Arc<Entry>>) {
        self.inner().0.finals.push((server, revision, entries));
    }

    /// The newest revision applied anywhere.
    #[must_use]
    pub fn newest(&self) -> Revision {
        let inner = self.inner();
        inner
            .0
            .applied
            .keys()
            .next_back()
            .copied()
            .unwrap_or(Revision::EMPTY)
    }

    /// Makes the newest revision the one that everybody must reach.
    pub fn set_goal(&self) -> Revision {
        let newest = self.newest();
        self.inner().0.goal = Some(newest);
        newest
    }

    /// Everything so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.inner().0.clone()
    }
}

impl History {
    fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }
}

thread_local! {
    static START: tokio::time::Instant = tokio::time::Instant::now();
}

/// When the run of this thread began.
#[must_use]
pub(crate) fn start() -> tokio::time::Instant {
    START.with(|start| *start)
}

fn brief(answer: &Answer) -> String {
    match answer {
        Answer::Unknown => "unknown".to_owned(),
        Answer::Nothing => "nothing".to_owned(),
        Answer::Committed(revision) => format!("committed {revision}"),
        Answer::Refused(current) => {
            let found =
                |entry: &Option<Arc<Entry>>| entry.as_ref().map_or(0, |entry| entry.mod_revision.get());
            format!("refused {:?}", current.iter().map(found).collect::<Vec<_>>())
        }
        Answer::Listed {
            entries, revision, ..
        } => format!("listed {} at {revision}", entries.len()),
    }
}

/// The value of every key at a revision.
pub(crate) type Values = BTreeMap<Key, Arc<Entry>>;
