use std::collections::{BTreeMap, VecDeque};

use controlplane_api::UserInfo;
use proptest::prelude::*;
use serde_json::json;

use super::plan::{Arrival, Decision, Planner, Ticket};
use super::*;
use crate::request::path::ResourcePath;

fn level(name: &str, shares: u32, lent: u32, queuing: Option<(usize, usize, usize)>) -> serde_json::Value {
    let response = match queuing {
        None => json!({"type": "Reject"}),
        Some((queues, hand, length)) => {
            json!({"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}})
        }
    };
    json!({"metadata": {"name": name}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": shares, "lendablePercent": lent, "limitResponse": response,
    }}})
}

fn user(name: &str, groups: &[&str]) -> UserInfo {
    UserInfo {
        username: name.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..UserInfo::default()
    }
}

fn schema_of(config: &Config, user: &UserInfo, verb: &str, path: &str) -> (String, String) {
    let resource = ResourcePath::parse(path);
    let what = resource.as_ref().map_or(What::Path(path), What::Resource);
    let found = config.classify(&Asked { user, verb, what });
    (found.name.to_string(), found.level.to_string())
}

#[test]
fn the_suggested_schemas_know_components_nodes_and_everybody_else() {
    let config = Config::suggested(600);
    let pods = "/api/v1/namespaces/default/pods";
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1";
    let (node, scheduler) = ("system:node:n1 system:nodes", "system:kube-scheduler x");
    let dns = "system:serviceaccount:kube-system:dns system:serviceaccounts";
    let other = "system:serviceaccount:a:b system:serviceaccounts";
    let table = [
        ("admin system:masters", "list", pods, "exempt exempt"),
        (node, "list", pods, "system-nodes system"),
        (node, "update", leases, "system-node-high node-high"),
        (scheduler, "list", pods, "kube-scheduler workload-high"),
        (
            scheduler,
            "update",
            leases,
            "system-leader-election leader-election",
        ),
        (dns, "list", pods, "kube-system-service-accounts workload-high"),
        (other, "list", pods, "service-accounts workload-low"),
        ("eve dev", "list", pods, "global-default global-default"),
        ("eve dev", "get", "/readyz", "probes exempt"),
        ("eve dev", "get", "/readyz/ping", "global-default global-default"),
    ];
    for (who, verb, path, expected) in table {
        let (name, group) = who.split_once(' ').unwrap();
        let (schema, level) = schema_of(&config, &user(name, &[group, "system:authenticated"]), verb, path);
        assert_eq!(format!("{schema} {level}"), expected, "{who} {path}");
    }
    assert_eq!(
        schema_of(&config, &user("nobody", &[]), "get", "/api").0,
        "catch-all"
    );
}

#[test]
fn seats_are_shared_out_by_shares() {
    let config = Config::suggested(600);
    let seats: BTreeMap<String, u32> = config
        .limited()
        .map(|(name, limits)| (name.to_string(), limits.seats))
        .collect();
    // 245 shares in all: 30 of them are 74 of 600 seats, rounded up, as upstream shows in its metrics.
    assert_eq!(
        (seats["system"], seats["catch-all"], seats["workload-low"]),
        (74, 13, 245)
    );
}

#[test]
fn a_schema_without_its_level_is_left_out() {
    let lost = json!({"metadata": {"name": "lost"}, "spec": {
        "priorityLevelConfiguration": {"name": "nowhere"}, "matchingPrecedence": 2,
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "*"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}],
    }});
    let config = Config::of(10, &[lost, json!({"no": "object"})], &[]);
    let eve = user("eve", &["system:authenticated"]);
    assert_eq!(schema_of(&config, &eve, "get", "/api").0, "catch-all");
}

/// A planner, and what an observer knows of it.
struct World {
    planner: Planner,
    now: Duration,
    running: VecDeque<(Ticket, u32)>,
    waiting: Vec<(Ticket, u32)>,
}

impl World {
    fn new(levels: &[serde_json::Value], total: u32) -> Self {
        Self {
            planner: Planner::new(&Config::of(total, &[], levels)),
            now: Duration::ZERO,
            running: VecDeque::new(),
            waiting: Vec::new(),
        }
    }

    fn arrive(&mut self, level: &str, flow: u64, seats: u32) -> Decision {
        let level = Arc::from(level);
        let arrival = Arrival {
            level: &level,
            flow,
            seats,
        };
        let decision = self.planner.arrive(&arrival, self.now);
        match decision {
            Decision::Run(ticket) => self.running.push_back((ticket, seats)),
            Decision::Wait(ticket) => self.waiting.push((ticket, seats)),
            Decision::Reject => {}
        }
        decision
    }

    fn finish(&mut self, index: usize, ran: Duration) -> Vec<Ticket> {
        let Some((ticket, _)) = self.running.remove(index) else {
            return Vec::new();
        };
        self.now += ran;
        let started = self.planner.leave(ticket, ran, self.now);
        self.note(&started);
        started
    }

    fn note(&mut self, started: &[Ticket]) {
        for ticket in started {
            let place = self.waiting.iter().position(|(waiting, _)| waiting == ticket);
            let place = place.expect("only what waits is started");
            self.running.push_back(self.waiting.remove(place));
        }
    }

    fn used(&self) -> u32 {
        self.planner.occupancy().iter().map(|level| level.used).sum()
    }
}

fn step() -> impl Strategy<Value = (u8, u64, u32, usize)> {
    (0_u8..4, 0_u64..6, 1_u32..4, 0_usize..20)
}

proptest! {
    /// Whatever comes and goes: seats are never given twice, counts are true, and in the end nobody is left waiting.
    #[test]
    fn everything_that_is_let_in_runs_and_seats_are_bounded(steps in prop::collection::vec(step(), 1..200)) {
        let levels = [level("a", 50, 50, Some((8, 2, 5))), level("b", 50, 0, Some((1, 1, 3)))];
        let mut world = World::new(&levels, 12);
        for (what, flow, seats, index) in steps {
            match what {
                0 => drop(world.arrive("a", flow, seats)),
                1 => drop(world.arrive("b", flow, seats)),
                2 => drop(world.finish(index, Duration::from_millis(5))),
                _ => {
                    if let Some(place) = (!world.waiting.is_empty()).then(|| index % world.waiting.len()) {
                        let (ticket, _) = world.waiting.remove(place);
                        let started = world.planner.leave(ticket, Duration::ZERO, world.now);
                        world.note(&started);
                    }
                }
            }
            let used: u32 = world.running.iter().map(|(_, seats)| seats).sum();
            prop_assert_eq!(world.used(), used);
            // All seats, what is lent once more, and for each level one request that is wider than the level.
            prop_assert!(used <= 12 + 3 + 3 * 3, "{used} seats");
            let waiting: usize = world.planner.occupancy().iter().map(|level| level.waiting).sum();
            prop_assert_eq!(waiting, world.waiting.len());
        }
        while !world.running.is_empty() {
            world.finish(0, Duration::from_millis(1));
        }
        prop_assert!(world.waiting.is_empty(), "left waiting: {:?}", world.waiting);
    }

    #[test]
    fn a_level_always_has_its_own_seats_whatever_others_borrowed(flows in prop::collection::vec(0_u64..50, 1..60)) {
        let levels = [level("lender", 50, 100, Some((8, 2, 50))), level("greedy", 50, 0, Some((8, 2, 50)))];
        let mut world = World::new(&levels, 20);
        for flow in flows {
            world.arrive("greedy", flow, 1);
        }
        let lender = world.planner.occupancy().into_iter().find(|level| &*level.level == "lender");
        for flow in 0..u64::from(lender.unwrap().seats) {
            let decision = world.arrive("lender", flow, 1);
            prop_assert!(matches!(decision, Decision::Run(_)), "{decision:?}");
        }
    }
}

#[test]
fn seats_that_nobody_uses_are_lent_and_those_that_are_kept_are_not() {
    let mut levels = vec![
        level("lender", 50, 50, Some((8, 2, 50))),
        level("borrower", 50, 0, Some((8, 2, 50))),
    ];
    // The mandatory levels take five shares.
    let world = |levels: &[serde_json::Value]| {
        let mut world = World::new(levels, 105);
        for flow in 0..400 {
            world.arrive("borrower", flow, 1);
        }
        world.used()
    };
    assert_eq!(world(&levels), 75);
    levels[1]["spec"]["limited"]["borrowingLimitPercent"] = json!(10);
    assert_eq!(world(&levels), 55);
}

/// A flow that asks for little is not held up by one that asks for much.
#[test]
fn a_mouse_is_served_between_elephants() {
    // One seat, so that requests run one after the other.
    let mut world = World::new(&[level("a", 1, 0, Some((64, 1, 100)))], 6);
    let (elephant, mouse) = (1, 2);
    let mut mice = Vec::new();
    for _ in 0..50 {
        world.arrive("a", elephant, 1);
    }
    for _ in 0..5 {
        match world.arrive("a", mouse, 1) {
            Decision::Wait(ticket) => mice.push(ticket),
            other => panic!("{other:?}"),
        }
    }
    let mut served = 0;
    while !mice.is_empty() {
        let started = world.finish(0, Duration::from_millis(10));
        served += started.len();
        mice.retain(|ticket| !started.contains(ticket));
    }
    assert!(served <= 12, "five small requests took {served} turns");
}

#[test]
fn a_level_that_rejects_has_no_queue() {
    let mut world = World::new(&[level("a", 5, 0, None)], 4);
    let decisions: Vec<Decision> = (0..3).map(|_| world.arrive("a", 0, 1)).collect();
    assert!(matches!(
        decisions[..],
        [Decision::Run(_), Decision::Run(_), Decision::Reject]
    ));
}

#[test]
fn other_limits_take_over_what_runs_and_waits() {
    let few = level("a", 1, 0, Some((4, 1, 50)));
    let mut world = World::new(std::slice::from_ref(&few), 6);
    for flow in 0..10 {
        world.arrive("a", flow, 1);
    }
    assert_eq!((world.running.len(), world.waiting.len()), (1, 9));
    let more = Config::of(60, &[], &[level("a", 1, 0, Some((2, 1, 50)))]);
    let started = world.planner.configure(&more, world.now);
    world.note(&started);
    assert_eq!((world.running.len(), world.waiting.len()), (10, 0));
    let gone = Config::of(60, &[], &[]);
    assert!(world.planner.configure(&gone, world.now).is_empty());
    while !world.running.is_empty() {
        world.finish(0, Duration::from_millis(1));
    }
    assert!(world.planner.configure(&gone, world.now).is_empty());
    assert!(world.planner.occupancy().iter().all(|level| &*level.level != "a"));
}

fn narrow() -> Flow {
    let schema = json!({"metadata": {"name": "all", "uid": "u1"}, "spec": {
        "priorityLevelConfiguration": {"name": "a"}, "matchingPrecedence": 2,
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "*"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}],
    }});
    Flow::new(Config::of(6, &[schema], &[level("a", 1, 0, Some((4, 1, 2)))]))
}

async fn ask(flow: &Flow, patience: Duration) -> Result<Seat, Rejected> {
    let eve = user("eve", &["system:authenticated"]);
    let asked = Asked {
        user: &eve,
        verb: "get",
        what: What::Path("/api"),
    };
    let schema = flow.classify(&asked);
    flow.admit(schema, &asked, 1, patience).await
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_is_given_back_goes_to_who_waits() {
    let flow = narrow();
    let first = ask(&flow, Duration::from_secs(1)).await.unwrap();
    let waits = flow.clone();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { ask(&waits, Duration::from_secs(10)).await.map(drop) });
    tokio::task::yield_now().await;
    assert_eq!(flow.levels().iter().map(|level| level.waiting).sum::<usize>(), 1);
    drop(first);
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), Ok(()));
    assert_eq!(flow.levels().iter().map(|level| level.running).sum::<usize>(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_or_goes_away_leaves_no_trace() {
    let flow = narrow();
    let first = ask(&flow, Duration::from_secs(1)).await.unwrap();
    assert_eq!(
        ask(&flow, Duration::from_secs(1)).await.map(drop),
        Err(Rejected::TimedOut)
    );
    {
        let gone = ask(&flow, Duration::from_secs(100));
        tokio::pin!(gone);
        assert!(futures::poll!(gone.as_mut()).is_pending());
    }
    assert_eq!(flow.levels().iter().map(|level| level.waiting).sum::<usize>(), 0);
    drop(first);
    assert!(ask(&flow, Duration::ZERO).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_turns_away_at_once() {
    let flow = narrow();
    let _seat = ask(&flow, Duration::from_secs(1)).await.unwrap();
    let mut waiting: Vec<_> = (0..2)
        .map(|_| Box::pin(ask(&flow, Duration::from_secs(9))))
        .collect();
    for one in &mut waiting {
        assert!(futures::poll!(one.as_mut()).is_pending());
    }
    assert_eq!(
        ask(&flow, Duration::from_secs(9)).await.map(drop),
        Err(Rejected::Full)
    );
}
