//! Messages: a question read from bytes, an answer written within a size.

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, BinEncodable as _, BinEncoder};

/// What fits into any datagram that is not fragmented: what we announce and send at most over UDP.
pub(crate) const LARGEST_DATAGRAM: u16 = 1232;
/// What a client takes that says nothing: RFC 1035, 4.2.1.
const SMALLEST_DATAGRAM: u16 = 512;
/// The option of extended errors: RFC 8914.
const EXTENDED_ERROR: u16 = 15;
/// An OPT record without options.
const OPT_BYTES: u16 = 11;

/// How the message came, and how its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What a client said in its OPT record: RFC 6891.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientEdns {
    pub(crate) payload: u16,
    pub(crate) dnssec_ok: bool,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    metadata: Metadata,
    pub(crate) query: Query,
    pub(crate) edns: Option<ClientEdns>,
}

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A question to be answered.
    Ask(Request),
    /// Nothing that is answered with records: the refusal, ready to be sent.
    Refuse(Vec<u8>),
    /// Nothing that gets an answer at all.
    Drop,
}

/// Why there is no proper answer, for whoever reads the packet: RFC 8914.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// The sections of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    pub(crate) code: ResponseCode,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// Whether it is from the zone itself.
    pub(crate) authoritative: bool,
    /// Whether the upstream vouches for it (AD).
    pub(crate) authentic: bool,
    pub(crate) error: Option<ExtendedError>,
}

impl Response {
    /// `SERVFAIL` with the reason.
    pub(crate) fn failure(code: u16, text: impl Into<String>) -> Self {
        Self {
            code: ResponseCode::ServFail,
            error: Some(ExtendedError {
                code,
                text: text.into(),
            }),
            ..Self::default()
        }
    }

    fn refusal(code: ResponseCode) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }
}

/// Reads a message; never fails: what is no question is refused or dropped.
pub(crate) fn parse(bytes: &[u8], transport: Transport) -> Parsed {
    // Counts are looked at first: they decide how much is set aside for reading the rest.
    let Ok(header) = Header::read(&mut BinDecoder::new(bytes)) else {
        return Parsed::Drop;
    };
    let metadata = header.metadata;
    if metadata.message_type == MessageType::Response {
        return Parsed::Drop;
    }
    if metadata.op_code != OpCode::Query {
        return refuse_header(&metadata, ResponseCode::NotImp);
    }
    // RFC 9619: a query has one question.
    if header.counts.queries != 1 {
        return refuse_header(&metadata, ResponseCode::FormErr);
    }
    let Ok(message) = Message::from_vec(bytes) else {
        return refuse_header(&metadata, ResponseCode::FormErr);
    };
    match message.queries.first() {
        Some(query) => checked(&message, query.clone(), transport),
        None => refuse_header(&metadata, ResponseCode::FormErr),
    }
}

fn checked(message: &Message, query: Query, transport: Transport) -> Parsed {
    let edns = message.edns.as_ref().map(|edns| ClientEdns {
        payload: edns.max_payload(),
        dnssec_ok: edns.flags().dnssec_ok,
    });
    let request = Request {
        metadata: message.metadata,
        query,
        edns,
    };
    let refuse = |code| Parsed::Refuse(request.encode(&Response::refusal(code), transport));
    if message.version() != 0 {
        return refuse(ResponseCode::BADVERS);
    }
    let is_transfer = matches!(request.query.query_type(), RecordType::AXFR | RecordType::IXFR);
    if is_transfer || request.query.query_class() != DNSClass::IN {
        return refuse(ResponseCode::Refused);
    }
    Parsed::Ask(request)
}

fn refuse_header(metadata: &Metadata, code: ResponseCode) -> Parsed {
    let message = Message::error_msg(metadata.id, metadata.op_code, code);
    message.to_vec().map_or(Parsed::Drop, Parsed::Refuse)
}

impl Request {
    /// Whether the client wants DNSSEC's records.
    pub(crate) fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Whether the client checks signatures itself (CD).
    pub(crate) fn checking_disabled(&self) -> bool {
        self.metadata.checking_disabled
    }

    /// Whether the client wants a name that is not ours to be looked up.
    pub(crate) fn recursion_desired(&self) -> bool {
        self.metadata.recursion_desired
    }

    /// The answer's bytes: no more than the client takes. Cut short it says so (TC), which sends the
    /// client to TCP; over TCP there is nowhere to send it, and each of equals is as good.
    pub(crate) fn encode(&self, response: &Response, transport: Transport) -> Vec<u8> {
        let limit = match (transport, self.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, None) => SMALLEST_DATAGRAM,
            (Transport::Udp, Some(edns)) => edns.payload.clamp(SMALLEST_DATAGRAM, LARGEST_DATAGRAM),
        };
        let mut message = self.message(response);
        if let Some(bytes) = written(&message, limit) {
            return bytes;
        }
        // Addresses beside the answer can be asked for: leaving them out is no truncation.
        message.additionals.clear();
        if let Some(bytes) = written(&message, limit) {
            return bytes;
        }
        cut(&mut message, limit);
        message.metadata.truncation = transport == Transport::Udp;
        written(&message, limit).unwrap_or_else(|| self.bare_truncation())
    }

    fn message(&self, response: &Response) -> Message {
        let mut message = Message::response(self.metadata.id, OpCode::Query);
        let metadata = &mut message.metadata;
        metadata.recursion_desired = self.metadata.recursion_desired;
        metadata.recursion_available = true;
        metadata.checking_disabled = self.metadata.checking_disabled;
        metadata.authoritative = response.authoritative;
        metadata.authentic_data = response.authentic;
        metadata.response_code = response.code;
        message.add_query(self.query.clone());
        message.add_answers(response.answers.iter().cloned());
        message.add_authorities(response.authorities.iter().cloned());
        message.add_additionals(response.additionals.iter().cloned());
        // A client that sent no OPT gets none: RFC 6891, 7.
        if let Some(client) = self.edns {
            message.set_edns(own_edns(client, response.error.as_ref()));
        }
        message
    }

    fn bare_truncation(&self) -> Vec<u8> {
        let mut message = Message::response(self.metadata.id, OpCode::Query);
        message.metadata.truncation = true;
        message.add_query(self.query.clone());
        message.to_vec().unwrap_or_default()
    }
}

fn own_edns(client: ClientEdns, error: Option<&ExtendedError>) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(LARGEST_DATAGRAM).set_version(0);
    edns.set_dnssec_ok(client.dnssec_ok);
    if let Some(error) = error {
        let mut data = error.code.to_be_bytes().to_vec();
        data.extend(error.text.bytes().take(200));
        edns.options_mut()
            .insert(EdnsOption::Unknown(EXTENDED_ERROR, data));
    }
    edns
}

/// The whole message, where it fits.
fn written(message: &Message, limit: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(SMALLEST_DATAGRAM.into());
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    message.emit(&mut encoder).ok()?;
    let whole = Header::read(&mut BinDecoder::new(&bytes)).ok()?;
    (whole.metadata.truncation == message.metadata.truncation).then_some(bytes)
}

/// Leaves as many answers as fit: some clients never ask by TCP.
fn cut(message: &mut Message, limit: u16) {
    message.authorities.clear();
    let edns = message.edns.take();
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit.saturating_sub(OPT_BYTES));
    let fitting = match message.emit(&mut encoder) {
        Ok(()) => Header::read(&mut BinDecoder::new(&bytes)).map_or(0, |header| header.counts.answers),
        Err(_) => 0,
    };
    message.answers.truncate(fitting.into());
    message.edns = edns.map(|mut edns| {
        *edns.options_mut() = Edns::new().options().clone();
        edns
    });
}
