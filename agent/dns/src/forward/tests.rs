use super::*;
use crate::testing::{FakeUpstream, address_reply, denial, question, reply};

fn www() -> Question {
    Question {
        name: Name::from_ascii("www.example.com.").unwrap(),
        kind: RecordType::A,
        dnssec_ok: false,
        checking_disabled: false,
    }
}

fn forwarder(servers: &[SocketAddr]) -> Arc<Forwarder> {
    Arc::new(Forwarder::new(
        Upstreams::of(servers.to_vec()),
        Arc::new(Counts::default()),
    ))
}

async fn resolve(forwarder: &Arc<Forwarder>) -> Response {
    let resolved = Arc::clone(forwarder).resolve(www()).await;
    if let Some(rest) = resolved.rest {
        rest.await;
    }
    resolved.response
}

/// An address at which nobody listens.
async fn closed() -> SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.local_addr().unwrap()
}

fn reason(response: &Response) -> String {
    response
        .error
        .as_ref()
        .map(|error| error.text.clone())
        .unwrap_or_default()
}

#[tokio::test]
async fn an_answer_is_asked_for_once_and_kept() {
    let upstream = FakeUpstream::start(|question, _| Some(address_reply(&question, 60))).await;
    let forwarder = forwarder(&[upstream.address]);
    for _ in 0..3 {
        assert_eq!(resolve(&forwarder).await.answers.len(), 1);
    }
    assert!(forwarder.cached(&www()).is_some());
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test]
async fn many_who_ask_the_same_at_once_make_one_question() {
    let upstream = FakeUpstream::start(|question, _| {
        std::thread::sleep(Duration::from_millis(50));
        Some(address_reply(&question, 0))
    })
    .await;
    let forwarder = forwarder(&[upstream.address]);
    let all = (0..100).map(|_| resolve(&forwarder));
    let answers = futures::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer.answers.len() == 1));
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test]
async fn the_next_upstream_is_asked_where_one_is_down_silent_or_failing() {
    let failing = FakeUpstream::start(|question, _| Some(reply(&question, ResponseCode::ServFail))).await;
    let silent = FakeUpstream::start(|_, _| None).await;
    let good = FakeUpstream::start(|question, _| Some(address_reply(&question, 60))).await;
    for bad in [closed().await, silent.address, failing.address] {
        let forwarder = forwarder(&[bad, good.address]);
        assert_eq!(resolve(&forwarder).await.code, ResponseCode::NoError, "{bad}");
    }
    assert_eq!(silent.asked(), 2, "a lost datagram is sent once more");
}

#[tokio::test]
async fn a_failure_of_all_says_why_and_is_not_asked_for_again_at_once() {
    let failing = FakeUpstream::start(|question, _| Some(reply(&question, ResponseCode::Refused))).await;
    let forwarder = forwarder(&[failing.address]);
    let response = resolve(&forwarder).await;
    assert_eq!(response.code, ResponseCode::ServFail);
    assert!(
        reason(&response).contains("127.0.0.1 said"),
        "{}",
        reason(&response)
    );
    assert_eq!(resolve(&forwarder).await.code, ResponseCode::ServFail);
    assert_eq!(failing.asked(), 1);
}

#[tokio::test]
async fn without_an_upstream_the_answer_says_so() {
    let response = resolve(&forwarder(&[])).await;
    assert_eq!(response.code, ResponseCode::ServFail);
    assert!(reason(&response).contains("resolv.conf"));
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again_over_tcp() {
    let upstream = FakeUpstream::start(|question, transport| {
        let mut answer = address_reply(&question, 60);
        answer.metadata.truncation = transport == "udp";
        Some(answer)
    })
    .await;
    assert_eq!(resolve(&forwarder(&[upstream.address])).await.answers.len(), 1);
    assert_eq!(upstream.asked(), 2);
}

#[tokio::test]
async fn an_upstream_that_changes_letters_is_believed_over_tcp_alone() {
    let upstream = FakeUpstream::start(|mut question, transport| {
        let mut name = question.queries[0].name().to_lowercase();
        if transport == "udp" {
            // Never what was asked, however the letters were drawn.
            let other = |byte: u8| {
                if byte.is_ascii_alphabetic() {
                    byte ^ 0x20
                } else {
                    byte
                }
            };
            let labels = question.queries[0].name().iter();
            let flipped: Vec<Vec<u8>> = labels
                .map(|label| label.iter().copied().map(other).collect())
                .collect();
            name = Name::from_labels(flipped.iter().map(Vec::as_slice)).unwrap();
        }
        question.queries[0].set_name(name);
        Some(address_reply(&question, 60))
    })
    .await;
    assert_eq!(
        resolve(&forwarder(&[upstream.address])).await.code,
        ResponseCode::NoError
    );
    assert_eq!(upstream.asked(), 2);
}

#[tokio::test]
async fn an_answer_with_another_id_or_question_is_not_believed() {
    let upstream = FakeUpstream::start(|mut question, transport| {
        if transport == "udp" && question.metadata.id % 2 == 0 {
            question.metadata.id ^= 1;
        } else {
            let other = Name::from_ascii("evil.example.com.").unwrap();
            question.queries[0].set_name(other);
        }
        Some(address_reply(&question, 60))
    })
    .await;
    let response = resolve(&forwarder(&[upstream.address])).await;
    assert_eq!(response.code, ResponseCode::ServFail);
}

#[tokio::test]
async fn an_answer_past_its_time_is_given_where_no_upstream_answers() {
    let forwarder = forwarder(&[closed().await]);
    let ask = question("www.example.com.", RecordType::A);
    let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
    lock(&forwarder.cache).put(www(), &address_reply(&ask, 60), long_ago);
    for _ in 0..2 {
        let response = resolve(&forwarder).await;
        assert_eq!(
            (response.code, response.answers[0].ttl),
            (ResponseCode::NoError, 30)
        );
        assert!(reason(&response).contains("no upstream"));
    }
    assert_eq!(forwarder.counts.totals().stale_answers, 2);
}

#[tokio::test]
async fn an_answer_past_its_time_gives_way_to_a_new_one() {
    let upstream = FakeUpstream::start(|question, _| Some(address_reply(&question, 77))).await;
    let forwarder = forwarder(&[upstream.address]);
    let ask = question("www.example.com.", RecordType::A);
    let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
    lock(&forwarder.cache).put(www(), &address_reply(&ask, 60), long_ago);
    assert_eq!(resolve(&forwarder).await.answers[0].ttl, 77);
}

#[tokio::test]
async fn other_upstreams_start_with_an_empty_cache() {
    let upstream = FakeUpstream::start(|question, _| Some(denial(&question, 60))).await;
    let forwarder = forwarder(&[upstream.address]);
    assert_eq!(resolve(&forwarder).await.code, ResponseCode::NXDomain);
    assert!(!forwarder.replace(Upstreams::of(vec![upstream.address])));
    assert!(forwarder.cached(&www()).is_some());
    assert!(forwarder.replace(Upstreams::of(vec![closed().await])));
    assert!(forwarder.cached(&www()).is_none());
}

mod cache {
    use super::*;
    use crate::forward::cache::{Cache, Found};

    fn ttl_after(message: &Message, seconds: u64) -> Option<u32> {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(www(), message, start);
        match cache.get(&www(), start + Duration::from_secs(seconds)) {
            Found::Fresh(message) => message
                .answers
                .iter()
                .chain(&message.authorities)
                .map(|r| r.ttl)
                .min(),
            Found::Stale(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn what_is_kept_ages_and_ends() {
        let ask = question("www.example.com.", RecordType::A);
        assert_eq!(ttl_after(&address_reply(&ask, 60), 10), Some(50));
        assert_eq!(ttl_after(&address_reply(&ask, 60), 60), None);
        assert_eq!(ttl_after(&address_reply(&ask, 0), 0), None);
        // No answer is kept longer than an hour, no denial longer than half of one.
        assert!(ttl_after(&address_reply(&ask, 90_000), 3599).is_some());
        assert!(ttl_after(&address_reply(&ask, 90_000), 3600).is_none());
        assert!(ttl_after(&denial(&ask, 90_000), 1800).is_none());
    }

    #[test]
    fn a_denial_is_kept_by_its_soa_and_not_without_one() {
        let ask = question("www.example.com.", RecordType::A);
        assert!(ttl_after(&denial(&ask, 20), 19).is_some());
        assert!(ttl_after(&denial(&ask, 20), 20).is_none());
        assert!(ttl_after(&reply(&ask, ResponseCode::NXDomain), 0).is_none());
        assert!(ttl_after(&reply(&ask, ResponseCode::NoError), 0).is_none());
    }

    #[test]
    fn names_that_differ_in_case_share_an_answer_and_flags_do_not() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let ask = question("www.example.com.", RecordType::A);
        cache.put(www(), &address_reply(&ask, 60), now);
        let upper = Question {
            name: Name::from_ascii("WWW.Example.COM.").unwrap(),
            ..www()
        };
        let signed = Question {
            dnssec_ok: true,
            ..www()
        };
        assert!(matches!(cache.get(&upper, now), Found::Fresh(_)));
        assert!(matches!(cache.get(&signed, now), Found::Nothing));
    }

    #[test]
    fn the_cache_never_outgrows_its_bytes_and_keeps_what_is_used() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let ask = question("www.example.com.", RecordType::A);
        cache.put(www(), &address_reply(&ask, 60), now);
        for n in 0..30_000 {
            let name = Name::from_ascii(format!("n{n}.example.com.")).unwrap();
            let ask = question(&name.to_ascii(), RecordType::A);
            cache.put(Question { name, ..www() }, &address_reply(&ask, 60), now);
            if n % 100 == 0 {
                assert!(matches!(cache.get(&www(), now), Found::Fresh(_)), "{n}");
            }
        }
        assert!(cache.weight() <= 8 << 20);
        let first = Name::from_ascii("n0.example.com.").unwrap();
        assert!(matches!(
            cache.get(&Question { name: first, ..www() }, now),
            Found::Nothing
        ));
    }
}
