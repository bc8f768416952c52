//! The server over real sockets, and its messages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use hickory_proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::counts::Counts;
use crate::forward::{Forwarder, Upstreams};
use crate::names::Names;
use crate::packet::Transport;
use crate::resolve::{Begun, Resolver};
use crate::serve::{Sockets, serve};
use crate::testing::{FakeUpstream, address_reply, question, read_framed, write_framed};
use crate::zone::Zone;
use crate::zone::tests::{example, service, slice};

fn resolver(zone: Zone, upstreams: Vec<SocketAddr>) -> Arc<Resolver> {
    let counts = Arc::new(Counts::default());
    let names = Arc::new(Names::new(zone));
    names.set_ready();
    Arc::new(Resolver {
        domain: Name::from_ascii("cluster.local.").unwrap(),
        names,
        forwarder: Arc::new(Forwarder::new(Upstreams::of(upstreams), Arc::clone(&counts))),
        counts,
        turn: AtomicUsize::new(0),
    })
}

struct Running {
    address: SocketAddr,
    resolver: Arc<Resolver>,
    _tasks: JoinSet<()>,
}

/// On a port that the kernel chose for UDP, and that nobody has for TCP.
async fn sockets() -> Sockets {
    loop {
        match Sockets::bind("127.0.0.1:0".parse().unwrap()).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            bound => return bound.unwrap(),
        }
    }
}

async fn start(zone: Zone, upstreams: Vec<SocketAddr>) -> Running {
    let resolver = resolver(zone, upstreams);
    let sockets = sockets().await;
    let address = sockets.address();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(sockets, Arc::clone(&resolver), CancellationToken::new()));
    Running {
        address,
        resolver,
        _tasks: tasks,
    }
}

impl Running {
    async fn udp(&self, message: &Message) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.address).await.unwrap();
        socket.send(&message.to_vec().unwrap()).await.unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).await.unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    async fn tcp(&self, message: &Message) -> Message {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        write_framed(&mut stream, &message.to_vec().unwrap()).await;
        read_framed(&mut stream).await
    }
}

/// What the resolver says at once; `None` where it says nothing or has to ask.
fn at_once(resolver: &Resolver, bytes: &[u8], transport: Transport) -> Option<Message> {
    match resolver.begin(bytes, transport) {
        Begun::Answer(answer) => Some(Message::from_vec(&answer).unwrap()),
        Begun::Drop | Begun::Wait(_) => None,
    }
}

fn ask(resolver: &Resolver, message: &Message) -> Message {
    at_once(resolver, &message.to_vec().unwrap(), Transport::Udp).unwrap()
}

const KUBERNETES: &str = "kubernetes.default.svc.cluster.local.";

fn with_edns(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

#[tokio::test]
async fn both_transports_answer_with_authority() {
    let server = start(example(), Vec::new()).await;
    let query = question(KUBERNETES, RecordType::A);
    for answer in [server.udp(&query).await, server.tcp(&query).await] {
        assert_eq!(answer.metadata.id, query.metadata.id);
        assert_eq!(answer.answers[0].data.to_string(), "10.43.0.1");
        assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
        assert!(answer.edns.is_none(), "an OPT that was not asked for");
    }
}

#[tokio::test]
async fn a_connection_carries_many_questions() {
    let server = start(example(), Vec::new()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..5 {
        let query = question(KUBERNETES, RecordType::A).to_vec().unwrap();
        write_framed(&mut stream, &query).await;
        assert_eq!(read_framed(&mut stream).await.answers.len(), 1);
    }
    assert_eq!(server.resolver.counts.totals().tcp_queries, 5);
}

#[tokio::test]
async fn an_alias_out_of_the_cluster_comes_with_what_it_leads_to() {
    let upstream = FakeUpstream::start(|question, _| Some(address_reply(&question, 60))).await;
    let server = start(example(), vec![upstream.address]).await;
    for _ in 0..2 {
        let answer = server
            .udp(&question("foo.default.svc.cluster.local.", RecordType::A))
            .await;
        let lines: Vec<String> = answer
            .answers
            .iter()
            .map(|record| record.data.to_string())
            .collect();
        assert_eq!(lines, ["www.example.com.", "192.0.2.80"]);
    }
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test]
async fn an_alias_within_the_cluster_is_followed_and_a_circle_ends() {
    let mut zone = example();
    let alias = |name: &str| json!({"type": "ExternalName", "externalName": format!("{name}.default.svc.cluster.local")});
    zone.put_service(service("default", "short", alias("kubernetes")));
    zone.put_service(service("default", "round", alias("trip")));
    zone.put_service(service("default", "trip", alias("round")));
    let resolver = resolver(zone, Vec::new());
    let short = ask(
        &resolver,
        &question("short.default.svc.cluster.local.", RecordType::A),
    );
    assert_eq!(short.answers[1].data.to_string(), "10.43.0.1");
    let round = ask(
        &resolver,
        &question("round.default.svc.cluster.local.", RecordType::A),
    );
    assert!(round.answers.len() < 20);
}

#[tokio::test]
async fn a_forwarded_answer_shows_the_name_as_the_client_wrote_it() {
    let upstream = FakeUpstream::start(|question, _| Some(address_reply(&question, 60))).await;
    let server = start(example(), vec![upstream.address]).await;
    for name in ["wWw.eXample.com.", "WWW.example.com."] {
        let answer = server.udp(&question(name, RecordType::A)).await;
        assert!(
            answer.answers[0].name.eq_case(&Name::from_ascii(name).unwrap()),
            "{answer:?}"
        );
        assert!(!answer.metadata.authoritative);
    }
}

#[tokio::test]
async fn names_of_the_cluster_never_leave_it() {
    let upstream = FakeUpstream::start(|question, _| Some(address_reply(&question, 60))).await;
    let server = start(example(), vec![upstream.address]).await;
    let unknown = server
        .udp(&question("nothing.default.svc.cluster.local.", RecordType::A))
        .await;
    assert_eq!(unknown.metadata.response_code, ResponseCode::NXDomain);
    // As the search list of a pod makes it: only the last one is for an upstream.
    for search in [
        "default.svc.cluster.local.",
        "svc.cluster.local.",
        "cluster.local.",
    ] {
        let name = format!("www.example.com.{search}");
        let answer = server.udp(&question(&name, RecordType::A)).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
    }
    assert_eq!(upstream.asked(), 0);
    assert_eq!(
        server
            .udp(&question("www.example.com.", RecordType::A))
            .await
            .answers
            .len(),
        1
    );
}

#[test]
fn before_the_names_are_known_nothing_is_denied() {
    let names = Arc::new(Names::new(crate::zone::tests::zone()));
    let resolver = Resolver {
        names,
        ..Arc::into_inner(resolver(example(), Vec::new())).unwrap()
    };
    let answer = ask(&resolver, &with_edns(question(KUBERNETES, RecordType::A), 1232));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let edns = answer.edns.unwrap();
    let Some(EdnsOption::Unknown(_, extended)) = edns.option(EdnsCode::Unknown(15)) else {
        panic!("no reason in {edns:?}");
    };
    assert!(String::from_utf8_lossy(&extended[2..]).contains("has not reached the API server"));
}

fn big() -> Zone {
    let mut zone = example();
    zone.put_service(service("default", "big", json!({"clusterIP": "None"})));
    let endpoint = |n: u32| json!({"addresses": [format!("10.42.{}.{}", n / 250, 1 + n % 250)]});
    let all: Vec<Value> = (0..600).map(endpoint).collect();
    zone.put_slice(slice(
        "default",
        "big",
        json!(all),
        json!([{"name": "p", "port": 1}]),
    ));
    zone
}

#[tokio::test]
async fn what_does_not_fit_is_cut_over_udp_and_whole_over_tcp() {
    let server = start(big(), Vec::new()).await;
    let query = question("big.default.svc.cluster.local.", RecordType::A);
    let sizes: Vec<(Message, usize)> = vec![
        (query.clone(), 512),
        (with_edns(query.clone(), 100), 512),
        (with_edns(query.clone(), 1000), 1000),
        (with_edns(query.clone(), 65_000), 1232),
    ];
    for (query, limit) in sizes {
        let answer = server.udp(&query).await;
        let bytes = answer.to_vec().unwrap().len();
        assert!(
            answer.metadata.truncation && bytes <= limit,
            "{bytes} bytes of {limit}"
        );
        assert!(
            answer.answers.len() > 20,
            "clients without TCP live on {}",
            answer.answers.len()
        );
        assert_eq!(answer.edns.is_some(), query.edns.is_some());
    }
    let whole = server.tcp(&query).await;
    assert!(!whole.metadata.truncation && whole.answers.len() == 600);
    let srv = server
        .tcp(&question(
            "_p._tcp.big.default.svc.cluster.local.",
            RecordType::SRV,
        ))
        .await;
    assert_eq!((srv.metadata.truncation, srv.answers.len()), (false, 600));
}

#[tokio::test]
async fn an_answer_too_big_for_any_message_is_as_much_as_fits() {
    let (long, mut zone) = ("x".repeat(63), example());
    zone.put_service(service(&long, &long, json!({"clusterIP": "None"})));
    let endpoint = |n: u32| json!({"addresses": [format!("10.42.{}.{}", n / 250, 1 + n % 250)], "hostname": format!("{n}-{}", "h".repeat(55))});
    let all: Vec<Value> = (0..1000).map(endpoint).collect();
    zone.put_slice(slice(&long, &long, json!(all), json!([{"name": "p", "port": 1}])));
    let server = start(zone, Vec::new()).await;
    let name = format!("_p._tcp.{long}.{long}.svc.cluster.local.");
    let answer = server.tcp(&question(&name, RecordType::SRV)).await;
    assert!(
        !answer.metadata.truncation && answer.answers.len() > 100,
        "{}",
        answer.answers.len()
    );
}

#[test]
fn what_is_no_plain_question_is_refused_by_its_own_code() {
    let resolver = resolver(example(), Vec::new());
    let code = |message: &Message| ask(&resolver, message).response_code;
    let mut update = question(KUBERNETES, RecordType::A);
    update.metadata.op_code = OpCode::Update;
    assert_eq!(code(&update), ResponseCode::NotImp);
    let mut two = question(KUBERNETES, RecordType::A);
    two.add_queries(question(KUBERNETES, RecordType::AAAA).queries);
    assert_eq!(code(&two), ResponseCode::FormErr);
    assert_eq!(
        code(&question("cluster.local.", RecordType::AXFR)),
        ResponseCode::Refused
    );
    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(&chaos), ResponseCode::Refused);
    let mut newer = with_edns(question(KUBERNETES, RecordType::A), 1232);
    newer.edns.as_mut().unwrap().set_version(1);
    // BADVERS and BADSIG are one number.
    assert_eq!(u16::from(code(&newer)), u16::from(ResponseCode::BADVERS));
    let mut unrecursive = question("www.example.com.", RecordType::A);
    unrecursive.metadata.recursion_desired = false;
    assert_eq!(code(&unrecursive), ResponseCode::Refused);
}

#[test]
fn an_answer_is_never_answered() {
    let resolver = resolver(example(), Vec::new());
    let answer = ask(&resolver, &question(KUBERNETES, RecordType::A));
    assert!(at_once(&resolver, &answer.to_vec().unwrap(), Transport::Udp).is_none());
}

proptest! {
    /// Any bytes get an answer that can be read, with the same id, or none.
    #[test]
    fn any_packet_is_answered_or_dropped(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let resolver = resolver(example(), Vec::new());
        if let Some(answer) = at_once(&resolver, &bytes, Transport::Udp) {
            prop_assert_eq!(answer.metadata.id.to_be_bytes(), [bytes[0], bytes[1]]);
        }
    }

    /// So does a question that was damaged on its way.
    #[test]
    fn a_damaged_question_is_answered_or_dropped(
        at in 0..80_usize, with: u8, length in 0..90_usize, payload: u16,
    ) {
        let resolver = resolver(example(), Vec::new());
        let name = "_https._tcp.headless.default.svc.cluster.local.";
        let mut bytes = with_edns(question(name, RecordType::SRV), payload).to_vec().unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] = with;
        bytes.truncate(length);
        for transport in [Transport::Udp, Transport::Tcp] {
            at_once(&resolver, &bytes, transport);
        }
    }
}
