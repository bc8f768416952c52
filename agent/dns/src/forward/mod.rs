//! Names that are not the cluster's: asked of the node's upstreams, kept for their time.

mod cache;
mod exchange;
#[cfg(test)]
mod tests;
mod upstreams;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::counts::Counts;
use crate::packet::{ExtendedError, Response};
use cache::{Cache, Found};
pub(crate) use upstreams::Upstreams;

/// What one upstream gets before the next one is asked.
const EACH: Duration = Duration::from_millis(1500);
/// What all upstreams get together: less than the 5 s after which resolvers ask again.
const TOGETHER: Duration = Duration::from_millis(4500);
/// A client waits this long before an answer past its time is good enough: RFC 8767, 5.
const STALE_AFTER: Duration = Duration::from_millis(1800);

/// `Stale Answer`, `No Reachable Authority`: RFC 8914, 4.
const STALE_ANSWER: u16 = 3;
const NO_REACHABLE_AUTHORITY: u16 = 22;

/// What is asked of an upstream. The name's case does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) name: Name,
    pub(crate) kind: RecordType,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
}

impl Question {
    fn query(&self) -> Query {
        Query::query(self.name.clone(), self.kind)
    }
}

/// A question under way; all who ask the same wait for the same answer.
pub(crate) type Flight = Shared<BoxFuture<'static, Arc<Response>>>;

/// An answer to send now, and what must be awaited after that, so that the cache learns from it.
pub(crate) struct Resolved {
    pub(crate) response: Response,
    pub(crate) rest: Option<Flight>,
}

/// Asks upstreams and remembers what they said.
#[derive(Debug)]
pub(crate) struct Forwarder {
    upstreams: Mutex<Arc<Upstreams>>,
    cache: Mutex<Cache>,
    /// A question is never under way twice. This also ends a loop: an upstream that asks us the
    /// question that we asked it waits for itself, until the time is over.
    flights: Mutex<HashMap<Question, Flight>>,
    counts: Arc<Counts>,
}

impl Forwarder {
    pub(crate) fn new(upstreams: Upstreams, counts: Arc<Counts>) -> Self {
        Self {
            upstreams: Mutex::new(Arc::new(upstreams)),
            cache: Mutex::default(),
            flights: Mutex::default(),
            counts,
        }
    }

    /// Asks `upstreams` from now on. Returns whether they are others than before.
    pub(crate) fn replace(&self, upstreams: Upstreams) -> bool {
        let mut current = lock(&self.upstreams);
        if current.servers() == upstreams.servers() {
            return false;
        }
        *current = Arc::new(upstreams);
        lock(&self.cache).clear();
        true
    }

    /// The answer where it is known and within its time.
    pub(crate) fn cached(&self, question: &Question) -> Option<Response> {
        match lock(&self.cache).get(question, Instant::now()) {
            Found::Fresh(message) => {
                self.counts.cache_hits.add();
                Some(response(message))
            }
            Found::Stale(_) | Found::Nothing => None,
        }
    }

    /// The answer, within [`TOGETHER`].
    pub(crate) async fn resolve(self: Arc<Self>, question: Question) -> Resolved {
        let found = lock(&self.cache).get(&question, Instant::now());
        let stale = match found {
            Found::Fresh(message) => return done(response(message)),
            Found::Stale(message) => Some(message),
            Found::Nothing => None,
        };
        let upstreams = Arc::clone(&lock(&self.upstreams));
        let flight = Arc::clone(&self).flight(question, Arc::clone(&upstreams));
        let Some(stale) = stale else {
            return done(Response::clone(&*flight.await));
        };
        if !upstreams.all_failed(Instant::now())
            && let Ok(response) = timeout(STALE_AFTER, flight.clone()).await
            && response.code != ResponseCode::ServFail
        {
            return done(Response::clone(&response));
        }
        self.counts.stale_answers.add();
        let mut response = response(stale);
        response.error = Some(ExtendedError {
            code: STALE_ANSWER,
            text: "no upstream of this node answers".to_owned(),
        });
        Resolved {
            response,
            rest: Some(flight),
        }
    }

    /// The question's flight, begun if it is not under way.
    fn flight(self: Arc<Self>, question: Question, upstreams: Arc<Upstreams>) -> Flight {
        let forwarder = Arc::clone(&self);
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&question) {
            return flight.clone();
        }
        let key = question.clone();
        let flight = async move {
            let response = forwarder.ask(&question, &upstreams).await;
            lock(&forwarder.flights).remove(&question);
            Arc::new(response)
        };
        let flight = flight.boxed().shared();
        flights.insert(key, flight.clone());
        flight
    }

    async fn ask(&self, question: &Question, upstreams: &Upstreams) -> Response {
        self.counts.forwarded.add();
        let mut failures = Vec::new();
        if let Some(message) = ask_all(question, upstreams, &mut failures).await {
            lock(&self.cache).put(question.clone(), &message, Instant::now());
            return response(message);
        }
        self.counts.upstream_failures.add();
        let mut failed = Message::query();
        failed.metadata.response_code = ResponseCode::ServFail;
        failed.add_query(question.query());
        lock(&self.cache).put(question.clone(), &failed, Instant::now());
        let text = if failures.is_empty() {
            "this node's resolv.conf names no name server to forward to".to_owned()
        } else {
            format!("upstreams of this node: {}", failures.join(", "))
        };
        Response::failure(NO_REACHABLE_AUTHORITY, text)
    }
}

/// Asks one upstream after the other, twice round where they are silent, until one has an answer.
async fn ask_all(question: &Question, upstreams: &Upstreams, failures: &mut Vec<String>) -> Option<Message> {
    let deadline = Instant::now() + TOGETHER;
    for _ in 0..2 {
        let mut spoke = false;
        for server in upstreams.in_order(Instant::now()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            match exchange::ask(server, question, left.min(EACH)).await {
                Ok(message) => {
                    upstreams.note_answer(server);
                    if is_usable(&message) {
                        return Some(message);
                    }
                    spoke = true;
                    note(failures, server, &message.metadata.response_code);
                }
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, %server, "upstream failed");
                    upstreams.note_failure(server, Instant::now());
                    note(failures, server, &error);
                }
            }
        }
        if spoke {
            return None;
        }
    }
    None
}

fn note(failures: &mut Vec<String>, server: SocketAddr, why: &dyn std::fmt::Display) {
    let said = format!("{} said: {why}", server.ip());
    if !failures.contains(&said) {
        failures.push(said);
    }
}

/// What another upstream would not say better.
fn is_usable(message: &Message) -> bool {
    matches!(
        message.metadata.response_code,
        ResponseCode::NoError | ResponseCode::NXDomain
    )
}

fn done(response: Response) -> Resolved {
    Resolved { response, rest: None }
}

fn response(message: Message) -> Response {
    Response {
        code: message.metadata.response_code,
        authentic: message.metadata.authentic_data,
        authoritative: false,
        answers: message.answers,
        authorities: message.authorities,
        additionals: message.additionals,
        error: None,
    }
}

/// No holder of these locks can leave them half-changed, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
