//! One question to one upstream.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use super::Question;
use crate::packet::LARGEST_DATAGRAM;

/// After this long without an answer a datagram counts as lost and is sent once more.
const RESEND: Duration = Duration::from_millis(600);

/// The caller's limit is shorter; this only ends the loop.
const LONGEST: Duration = Duration::from_mins(1);

/// Why an upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// It said nothing in time.
    #[error("no answer in time")]
    Silence,
    /// The network, or a closed port.
    #[error("exchange messages")]
    Network(#[from] std::io::Error),
    /// What came was no answer to what was asked.
    #[error("answer does not fit the question")]
    Mismatch,
    /// The question cannot be written.
    #[error("write the question")]
    Unwritable(#[from] hickory_proto::ProtoError),
}

/// What a datagram turned out to be.
enum Arrived {
    Answer(Box<Message>),
    /// The right answer with the wrong letter case: the upstream changes it, or somebody guesses.
    OtherCase,
    /// Somebody else's.
    Foreign,
}

/// Asks `server` over UDP, over TCP where the answer is cut, within `limit`.
pub(crate) async fn ask(
    server: SocketAddr,
    question: &Question,
    limit: Duration,
) -> Result<Message, ExchangeError> {
    let deadline = Instant::now() + limit;
    let by_udp = timeout_at(deadline, udp(server, question)).await;
    match by_udp.map_err(|_| ExchangeError::Silence)?? {
        Some(message) if !message.metadata.truncation => Ok(message),
        // Case or size: over TCP neither is a question.
        Some(_) | None => timeout_at(deadline, tcp(server, question))
            .await
            .map_err(|_| ExchangeError::Silence)?,
    }
}

/// Asks over UDP. The port is the kernel's choice, the id and the case of the letters
/// (draft-vixie-dnsext-dns0x20) are drawn: somebody off the path has to guess all three.
async fn udp(server: SocketAddr, question: &Question) -> Result<Option<Message>, ExchangeError> {
    let mut asked = question.query();
    asked.name.randomize_label_case();
    let request = message(question, &asked);
    let bytes = request.to_vec()?;
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // A connected socket takes packets from nobody else, and learns of closed ports.
    socket.connect(server).await?;
    let mut buffer = vec![0; 4096];
    for patience in [RESEND, LONGEST] {
        socket.send(&bytes).await?;
        let waited = Instant::now() + patience;
        while let Ok(received) = timeout_at(waited, socket.recv(&mut buffer)).await {
            match read(
                buffer.get(..received?).unwrap_or_default(),
                request.metadata.id,
                &asked,
            ) {
                Arrived::Answer(answer) => return Ok(Some(*answer)),
                Arrived::OtherCase => return Ok(None),
                Arrived::Foreign => {}
            }
        }
    }
    Err(ExchangeError::Silence)
}

async fn tcp(server: SocketAddr, question: &Question) -> Result<Message, ExchangeError> {
    let asked = question.query();
    let request = message(question, &asked);
    let bytes = request.to_vec()?;
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut stream = timeout(RESEND * 2, TcpStream::connect(server))
        .await
        .map_err(|_| ExchangeError::Silence)??;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(bytes);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await?;
    match read(&buffer, request.metadata.id, &asked) {
        Arrived::Answer(answer) => Ok(*answer),
        Arrived::OtherCase | Arrived::Foreign => Err(ExchangeError::Mismatch),
    }
}

fn message(question: &Question, asked: &Query) -> Message {
    // A new message draws its id.
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = question.checking_disabled;
    message.add_query(asked.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(LARGEST_DATAGRAM).set_version(0);
    edns.set_dnssec_ok(question.dnssec_ok);
    message.set_edns(edns);
    message
}

fn read(bytes: &[u8], id: u16, asked: &Query) -> Arrived {
    // Before anything else is read: who does not know the id has no say.
    if bytes.first_chunk::<2>().copied().map(u16::from_be_bytes) != Some(id) {
        return Arrived::Foreign;
    }
    let Ok(message) = Message::from_vec(bytes) else {
        return Arrived::Foreign;
    };
    let is_answer =
        message.metadata.message_type == MessageType::Response && message.metadata.op_code == OpCode::Query;
    let [echoed] = message.queries.as_slice() else {
        return Arrived::Foreign;
    };
    if !is_answer || echoed != asked {
        return Arrived::Foreign;
    }
    if !echoed.name.eq_case(&asked.name) {
        return Arrived::OtherCase;
    }
    Arrived::Answer(Box::new(message))
}
