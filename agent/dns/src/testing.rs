//! A name server whose answers a test decides, and a client.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

type Script = Arc<dyn Fn(Message, &'static str) -> Option<Message> + Send + Sync>;

/// A running name server.
pub(crate) struct FakeUpstream {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl FakeUpstream {
    /// Answers with what `script` makes of the question, which came over `udp` or `tcp`.
    pub(crate) async fn start(
        script: impl Fn(Message, &'static str) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = pair().await;
        let (address, asked) = (udp.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let script: Script = Arc::new(script);
        let mut tasks = JoinSet::new();
        tasks.spawn(by_udp(udp, Arc::clone(&script), Arc::clone(&asked)));
        tasks.spawn(by_tcp(tcp, script, Arc::clone(&asked)));
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    /// How many questions came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn pair() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn by_udp(socket: UdpSocket, script: Script, asked: Arc<AtomicUsize>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        asked.fetch_add(1, Ordering::SeqCst);
        if let Some(answer) = script(Message::from_vec(&buffer[..length]).unwrap(), "udp") {
            socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
        }
    }
}

async fn by_tcp(listener: TcpListener, script: Script, asked: Arc<AtomicUsize>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let question = read_framed(&mut stream).await;
        asked.fetch_add(1, Ordering::SeqCst);
        if let Some(answer) = script(question, "tcp") {
            write_framed(&mut stream, &answer.to_vec().unwrap()).await;
        }
    }
}

pub(crate) async fn write_framed(stream: &mut TcpStream, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
}

pub(crate) async fn read_framed(stream: &mut TcpStream) -> Message {
    let mut buffer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut buffer).await.unwrap();
    Message::from_vec(&buffer).unwrap()
}

/// A question.
pub(crate) fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// An empty answer to `question` with `code`.
pub(crate) fn reply(question: &Message, code: ResponseCode) -> Message {
    let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.response_code = code;
    message.add_queries(question.queries.iter().cloned());
    message
}

/// An answer to `question` with an address that may be kept for `ttl` seconds.
pub(crate) fn address_reply(question: &Message, ttl: u32) -> Message {
    let mut message = reply(question, ResponseCode::NoError);
    let owner = question.queries[0].name().clone();
    let data = RData::A(A(Ipv4Addr::new(192, 0, 2, 80)));
    message.add_answer(Record::from_rdata(owner, ttl, data));
    message
}

/// A denial of `question` that may be kept for `ttl` seconds.
pub(crate) fn denial(question: &Message, ttl: u32) -> Message {
    let mut message = reply(question, ResponseCode::NXDomain);
    let zone = Name::from_ascii("example.com.").unwrap();
    let soa = SOA::new(zone.clone(), zone.clone(), 1, 1, 1, 1, ttl);
    message.add_authority(Record::from_rdata(zone, 3600, RData::SOA(soa)));
    message
}
