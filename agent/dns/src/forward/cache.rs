//! Answers of upstreams, kept for their time and, for when no upstream answers, a while longer.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::time::Instant;

use super::Question;

/// Bytes of all kept answers together.
const MOST_BYTES: usize = 8 << 20;
/// What an entry costs beside its message: key, times, places in two maps.
const ENTRY_BYTES: usize = 400;
/// No answer is kept longer, whatever it says.
const LONGEST: u32 = 3600;
/// No denial is kept longer.
const LONGEST_DENIAL: u32 = 1800;
/// A failure is kept this long: RFC 9520, 3.2, asks for a second at least.
const FAILURE: Duration = Duration::from_secs(1);
/// How long an answer past its time may still be given.
const STALE: Duration = Duration::from_hours(1);
/// The TTL in an answer past its time: RFC 8767, 4.
const STALE_TTL: u32 = 30;

/// What the cache knows.
#[derive(Debug)]
pub(crate) enum Found {
    /// An answer within its time.
    Fresh(Message),
    /// One past its time.
    Stale(Message),
    Nothing,
}

#[derive(Debug)]
struct Entry {
    /// The message as it came, without OPT. Bytes are a fifth of what the parsed form takes.
    bytes: Vec<u8>,
    stored: Instant,
    expires: Instant,
    /// Place in the order of use.
    used: u64,
}

/// The cache. The least recently used answer makes room for a new one.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: HashMap<Question, Entry>,
    order: BTreeMap<u64, Question>,
    uses: u64,
    bytes: usize,
}

impl Cache {
    /// The answer to `question`, with the TTLs of `now`.
    pub(crate) fn get(&mut self, question: &Question, now: Instant) -> Found {
        let Some(entry) = self.entries.get_mut(question) else {
            return Found::Nothing;
        };
        let Ok(mut message) = Message::from_vec(&entry.bytes) else {
            return Found::Nothing;
        };
        self.uses += 1;
        if let Some(question) = self.order.remove(&entry.used) {
            self.order.insert(self.uses, question);
        }
        entry.used = self.uses;
        if now < entry.expires {
            let age = now.saturating_duration_since(entry.stored).as_secs();
            set_ttls(&mut message, |ttl| {
                ttl.saturating_sub(u32::try_from(age).unwrap_or(u32::MAX))
            });
            return Found::Fresh(message);
        }
        let usable = message.metadata.response_code != ResponseCode::ServFail;
        if usable && now < entry.expires + STALE {
            set_ttls(&mut message, |_| STALE_TTL);
            return Found::Stale(message);
        }
        Found::Nothing
    }

    /// Keeps `message` for as long as it says. A failure never takes the place of an answer.
    pub(crate) fn put(&mut self, question: Question, message: &Message, now: Instant) {
        let failed = message.metadata.response_code == ResponseCode::ServFail;
        if failed && self.entries.contains_key(&question) {
            return;
        }
        let Some(life) = lifetime(message) else { return };
        let mut kept = message.clone();
        kept.edns = None;
        let Ok(bytes) = kept.to_vec() else { return };
        self.remove(&question);
        self.uses += 1;
        self.bytes += bytes.len() + ENTRY_BYTES;
        self.order.insert(self.uses, question.clone());
        let entry = Entry {
            bytes,
            stored: now,
            expires: now + life,
            used: self.uses,
        };
        self.entries.insert(question, entry);
        while self.bytes > MOST_BYTES {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.remove(&oldest);
        }
    }

    /// Forgets everything: other upstreams may know other names.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes in use, as far as they are counted.
    #[cfg(test)]
    pub(crate) fn weight(&self) -> usize {
        self.bytes
    }

    fn remove(&mut self, question: &Question) {
        if let Some(entry) = self.entries.remove(question) {
            self.order.remove(&entry.used);
            self.bytes = self.bytes.saturating_sub(entry.bytes.len() + ENTRY_BYTES);
        }
    }
}

fn set_ttls(message: &mut Message, change: impl Fn(u32) -> u32) {
    let sections = [
        &mut message.answers,
        &mut message.authorities,
        &mut message.additionals,
    ];
    for record in sections.into_iter().flatten() {
        record.ttl = change(record.ttl);
    }
}

/// How long a message may be kept; `None` for not at all.
fn lifetime(message: &Message) -> Option<Duration> {
    let seconds = match message.metadata.response_code {
        ResponseCode::ServFail => return Some(FAILURE),
        ResponseCode::NoError if answers_something(message) => {
            let ttls = message.answers.iter().map(|record| record.ttl);
            ttls.min().unwrap_or_default().min(LONGEST)
        }
        ResponseCode::NoError | ResponseCode::NXDomain => denial_ttl(message)?.min(LONGEST_DENIAL),
        _ => return None,
    };
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// Whether there is more than aliases that lead to nothing.
fn answers_something(message: &Message) -> bool {
    let asked = message.queries.first().map(|query| query.query_type());
    let fits = |record: &Record| asked == Some(RecordType::ANY) || Some(record.record_type()) == asked;
    message.answers.iter().any(fits)
}

/// RFC 2308, 5: the lesser of the SOA's TTL and its minimum; without SOA a denial is not kept.
fn denial_ttl(message: &Message) -> Option<u32> {
    let soa = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    })?;
    let aliases = message.answers.iter().map(|record| record.ttl);
    Some(aliases.fold(soa, u32::min))
}
