//! From a message to its answer: the zone's, the cache's, or an upstream's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;

use crate::counts::Counts;
use crate::forward::{Flight, Forwarder, Question, Resolved};
use crate::names::Names;
use crate::packet::{Parsed, Request, Response, Transport, parse};
use crate::zone::{Answer, Verdict, Zone};

/// Aliases followed within the cluster.
const MOST_ALIASES: usize = 8;
/// `Not Ready`: RFC 8914, 4.15.
const NOT_READY: u16 = 14;

/// Answers messages.
#[derive(Debug)]
pub(crate) struct Resolver {
    pub(crate) domain: Name,
    pub(crate) names: Arc<Names>,
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) turn: AtomicUsize,
}

/// What becomes of a message at once.
pub(crate) enum Begun {
    /// Its answer.
    Answer(Vec<u8>),
    /// It waits for an upstream.
    Wait(Box<Waiting>),
    /// Nothing.
    Drop,
}

/// A question that an upstream has to answer.
pub(crate) struct Waiting {
    request: Request,
    transport: Transport,
    /// What the zone said, where the question led out of it by an alias.
    prefix: Response,
    question: Question,
}

/// What the zone says, aliases within it followed.
struct Local {
    response: Response,
    /// Where an alias leads that left the zone.
    outside: Option<Name>,
}

impl Resolver {
    /// Answers what needs no upstream.
    pub(crate) fn begin(&self, bytes: &[u8], transport: Transport) -> Begun {
        match transport {
            Transport::Udp => self.counts.udp_queries.add(),
            Transport::Tcp => self.counts.tcp_queries.add(),
        }
        match parse(bytes, transport) {
            Parsed::Ask(request) => self.begin_request(request, transport),
            Parsed::Refuse(bytes) => {
                self.counts.refused.add();
                Begun::Answer(bytes)
            }
            Parsed::Drop => {
                self.counts.dropped.add();
                Begun::Drop
            }
        }
    }

    fn begin_request(&self, request: Request, transport: Transport) -> Begun {
        let local = self.local(&request);
        let (prefix, target) = match local {
            Some(Local {
                response,
                outside: None,
            }) => {
                self.counts.cluster_answers.add();
                return Begun::Answer(request.encode(&response, transport));
            }
            Some(Local {
                response,
                outside: Some(target),
            }) => (response, target),
            None => (Response::default(), request.query.name().clone()),
        };
        let question = Question {
            name: target,
            kind: request.query.query_type(),
            dnssec_ok: request.dnssec_ok(),
            checking_disabled: request.checking_disabled(),
        };
        if let Some(response) = self.forwarder.cached(&question) {
            let response = joined(prefix, response, request.query.name());
            return Begun::Answer(request.encode(&response, transport));
        }
        if !request.recursion_desired() {
            self.counts.refused.add();
            let refusal = Response {
                code: ResponseCode::Refused,
                ..Response::default()
            };
            return Begun::Answer(request.encode(&refusal, transport));
        }
        Begun::Wait(Box::new(Waiting {
            request,
            transport,
            prefix,
            question,
        }))
    }

    /// The answer by an upstream, and what must be awaited once it is sent.
    pub(crate) async fn finish(&self, waiting: Box<Waiting>) -> (Vec<u8>, Option<Flight>) {
        let Waiting {
            request,
            transport,
            prefix,
            question,
        } = *waiting;
        let Resolved { response, rest } = Arc::clone(&self.forwarder).resolve(question).await;
        let response = joined(prefix, response, request.query.name());
        (request.encode(&response, transport), rest)
    }

    /// What the zone says; `None` where the name is not the cluster's.
    fn local(&self, request: &Request) -> Option<Local> {
        let name = request.query.name();
        if !self.names.is_ready() && self.domain.zone_of(name) {
            let text =
                "this node has not reached the API server yet, so it does not know the cluster's names";
            return Some(Local {
                response: Response::failure(NOT_READY, text),
                outside: None,
            });
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.names.read(|zone| followed(zone, request, turn))
    }
}

fn followed(zone: &Zone, request: &Request, turn: usize) -> Option<Local> {
    let kind = request.query.query_type();
    let mut name = request.query.name().clone();
    let mut whole = Response {
        authoritative: true,
        ..Response::default()
    };
    for followed in 0..=MOST_ALIASES {
        let Verdict::Answer(answer) = zone.answer(&name, kind, turn) else {
            // Only an alias can have led here; a question from outside is none of ours.
            return (followed > 0).then_some(Local {
                response: whole,
                outside: Some(name),
            });
        };
        let chase = extend(&mut whole, answer);
        match chase {
            Some(target) => name = target,
            None => break,
        }
    }
    Some(Local {
        response: whole,
        outside: None,
    })
}

fn extend(whole: &mut Response, answer: Answer) -> Option<Name> {
    whole.code = answer.code;
    whole.answers.extend(answer.answers);
    whole.authorities.extend(answer.authorities);
    whole.additionals.extend(answer.additionals);
    answer.chase
}

/// The zone's alias and the upstream's answer to where it leads. RFC 6604: the code is the last one's.
fn joined(prefix: Response, mut last: Response, asked: &Name) -> Response {
    // The name was asked for in another case, to be hard to guess; the client sees its own.
    for record in last.answers.iter_mut().filter(|record| record.name == *asked) {
        record.name = asked.clone();
    }
    let mut answers = prefix.answers;
    let is_alone = answers.is_empty();
    answers.append(&mut last.answers);
    Response {
        answers,
        authentic: last.authentic && is_alone,
        ..last
    }
}
