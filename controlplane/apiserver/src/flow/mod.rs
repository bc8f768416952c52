//! Priority and fairness: which requests run, which wait, which are turned away (Kubernetes, "API Priority and
//! Fairness").
//!
//! [`config`] is what the objects say, [`classify`] finds a request's schema, [`plan`] decides without time, randomness or
//! I/O of its own; this is the thin layer that waits.

mod classify;
mod config;
mod deal;
mod follow;
mod level;
mod measure;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::Metrics;
pub(crate) use classify::{Asked, What};
pub(crate) use config::{Config, Schema};
pub(crate) use follow::follow;
use measure::Measure;
pub(crate) use plan::Occupancy;
use plan::{Arrival, Decision, Planner, Ticket};

/// Requests that run at one time in all limited levels: upstream's 400 that only read and 200 that change.
pub(crate) const TOTAL_SEATS: u32 = 600;

/// Most seats that one request takes.
const MAX_SEATS: u32 = 10;

/// Objects that a list shows for each seat it takes, as upstream's estimate.
const OBJECTS_PER_SEAT: usize = 100;

/// What decides about requests. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Flow(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    config: Mutex<Arc<Config>>,
    waiting: Mutex<Waiting>,
    /// How many objects the last whole list of each resource showed.
    sizes: Mutex<HashMap<String, usize>>,
    measure: Measure,
}

#[derive(Debug)]
struct Waiting {
    planner: Planner,
    /// Whom to tell when it is their turn. As many as queues hold, which is bounded.
    told: HashMap<Ticket, oneshot::Sender<()>>,
}

/// A place among the running requests, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    flow: Flow,
    ticket: Option<Ticket>,
    begun: Instant,
    /// How long it had to be waited for.
    pub(crate) waited: Duration,
    /// Whether it is more than a place in a queue.
    runs: bool,
    /// What the request was classified as.
    pub(crate) schema: Arc<Schema>,
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Its queue is full, or its level has none.
    Full,
    /// It has waited for as long as it may.
    TimedOut,
}

impl Rejected {
    /// Upstream's word in metrics.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Full => "queue-full",
            Self::TimedOut => "time-out",
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flow {
    pub(crate) fn new(config: Config) -> Self {
        let planner = Planner::new(&config);
        Self(Arc::new(Shared {
            begun: Instant::now(),
            config: Mutex::new(Arc::new(config)),
            waiting: Mutex::new(Waiting {
                planner,
                told: HashMap::new(),
            }),
            sizes: Mutex::new(HashMap::new()),
            measure: Measure::default(),
        }))
    }

    /// Lets `metrics` tell what is let in and turned away.
    pub(crate) fn register(&self, metrics: &mut Metrics) {
        self.0.measure.register(metrics);
    }

    /// Goes by `config` from now on; what runs or waits goes on.
    pub(crate) fn configure(&self, config: Config) {
        let mut waiting = lock(&self.0.waiting);
        let started = waiting.planner.configure(&config, self.now());
        *lock(&self.0.config) = Arc::new(config);
        waiting.tell(started);
    }

    /// The schema of a request.
    pub(crate) fn classify(&self, asked: &Asked<'_>) -> Arc<Schema> {
        let config = Arc::clone(&lock(&self.0.config));
        Arc::clone(config.classify(asked))
    }

    /// Waits until the request may run, `patience` at most.
    ///
    /// # Errors
    ///
    /// Where it has to be turned away.
    pub(crate) async fn admit(
        &self,
        schema: Arc<Schema>,
        asked: &Asked<'_>,
        seats: u32,
        patience: Duration,
    ) -> Result<Seat, Rejected> {
        let measure = &self.0.measure;
        let came = Instant::now();
        let mut outcome = self.wait(Arc::clone(&schema), asked, seats, patience).await;
        match &mut outcome {
            Ok(seat) => {
                seat.waited = came.elapsed();
                measure.let_in(&schema, seat.waited);
            }
            Err(why) => measure.turned_away(&schema, *why),
        }
        outcome
    }

    async fn wait(
        &self,
        schema: Arc<Schema>,
        asked: &Asked<'_>,
        seats: u32,
        patience: Duration,
    ) -> Result<Seat, Rejected> {
        let mut seat = Seat {
            flow: self.clone(),
            ticket: None,
            begun: Instant::now(),
            waited: Duration::ZERO,
            runs: false,
            schema,
        };
        if seat.schema.exempt {
            seat.runs = true;
            return Ok(seat);
        }
        let arrival = Arrival {
            level: &seat.schema.level,
            flow: flow_hash(&seat.schema, asked),
            seats,
        };
        let turn = match self.arrive(&arrival)? {
            (ticket, None) => {
                seat.ticket = Some(ticket);
                seat.runs = true;
                return Ok(seat);
            }
            (ticket, Some(turn)) => {
                // From here on, dropping the seat gives the place in the queue back.
                seat.ticket = Some(ticket);
                turn
            }
        };
        match tokio::time::timeout(patience, turn).await {
            Ok(Ok(())) => {
                seat.begun = Instant::now();
                seat.runs = true;
                Ok(seat)
            }
            Ok(Err(_)) | Err(_) => Err(Rejected::TimedOut),
        }
    }

    /// A ticket, and what to wait for, if it has to wait.
    fn arrive(&self, arrival: &Arrival<'_>) -> Result<(Ticket, Option<oneshot::Receiver<()>>), Rejected> {
        let mut waiting = lock(&self.0.waiting);
        match waiting.planner.arrive(arrival, self.now()) {
            Decision::Run(ticket) => Ok((ticket, None)),
            Decision::Wait(ticket) => {
                let (tell, turn) = oneshot::channel();
                waiting.told.insert(ticket, tell);
                Ok((ticket, Some(turn)))
            }
            Decision::Reject => Err(Rejected::Full),
        }
    }

    /// Seats of a list of `resource`, `limit` of its objects at most.
    pub(crate) fn seats_of_list(&self, resource: &str, limit: Option<usize>) -> u32 {
        let known = lock(&self.0.sizes).get(resource).copied().unwrap_or_default();
        let shown = limit.map_or(known, |limit| limit.min(known));
        let seats = u32::try_from(shown.div_ceil(OBJECTS_PER_SEAT)).unwrap_or(MAX_SEATS);
        seats.clamp(1, MAX_SEATS)
    }

    /// Notes how many objects `resource` has. As many entries as resources are served.
    pub(crate) fn note_size(&self, resource: &str, objects: usize) {
        let mut sizes = lock(&self.0.sizes);
        match sizes.get_mut(resource) {
            Some(size) => *size = objects,
            None => drop(sizes.insert(resource.to_owned(), objects)),
        }
    }

    /// What runs and waits in each limited level.
    pub(crate) fn levels(&self) -> Vec<plan::Occupancy> {
        lock(&self.0.waiting).planner.occupancy()
    }

    fn now(&self) -> Duration {
        self.0.begun.elapsed()
    }
}

impl Waiting {
    fn tell(&mut self, started: Vec<Ticket>) {
        for ticket in started {
            let told = self.told.remove(&ticket).map(|tell| tell.send(()));
            if told == Some(Err(())) {
                tracing::trace!(
                    "a request went away as its turn came; dropping its seat gives the place back"
                );
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let ran = self.begun.elapsed();
        if self.runs {
            self.flow.0.measure.ran(&self.schema, ran);
        }
        let Some(ticket) = self.ticket else { return };
        let mut waiting = lock(&self.flow.0.waiting);
        let now = self.flow.now();
        let started = waiting.planner.leave(ticket, ran, now);
        waiting.told.remove(&ticket);
        waiting.tell(started);
    }
}

/// The flow of a request: its schema, and whom or what that tells apart.
fn flow_hash(schema: &Schema, asked: &Asked<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    schema.name.hash(&mut hasher);
    schema.distinguisher(asked).hash(&mut hasher);
    hasher.finish()
}
