use super::*;
use controlplane_raft::Peer;

fn info(id: ServerId, name: &str, role: Role) -> MemberInfo {
    let peer = Peer {
        name: name.to_owned(),
        address: format!("10.0.0.{id}:6444"),
        api: format!("10.0.0.{id}:6443"),
    };
    MemberInfo {
        id,
        peer,
        role,
        behind: None,
        heard: None,
    }
}

fn member(id: ServerId, name: &str, role: Role, state: State) -> Member {
    Member {
        info: info(id, name, role),
        state,
        behind: 0,
    }
}

fn object(member: &Member) -> Shown {
    Shown {
        id: Some(member.info.id),
        address: member.info.peer.address.clone(),
        api: member.info.peer.api.clone(),
        role: role(member.info.role).to_owned(),
        state: member.state.word().to_owned(),
        behind: member.behind,
        ..Shown::default()
    }
}

/// A leader and two more that vote, the last one in this state.
fn three(last: State) -> Vec<Member> {
    vec![
        member(1, "a", Role::Leader, State::Ready),
        member(2, "b", Role::Voter, State::Ready),
        member(3, "c", Role::Voter, last),
    ]
}

#[test]
fn members_that_are_shown_as_they_are_need_nothing() {
    let members = [
        member(1, "a", Role::Leader, State::Ready),
        member(2, "b", Role::Learner, State::CatchingUp),
    ];
    let objects = members
        .iter()
        .map(|one| (one.info.peer.name.clone(), object(one)));
    assert_eq!(plan(&members, &objects.collect()), []);
}

#[test]
fn a_new_member_is_shown_under_a_name_that_is_free_and_valid() {
    let members = [
        member(1, "a", Role::Leader, State::Ready),
        member(2, "A", Role::Voter, State::Ready),
        member(3, "under_score", Role::Voter, State::Ready),
    ];
    let names: Vec<String> = plan(&members, &BTreeMap::new())
        .into_iter()
        .map(|step| match step {
            Step::Create(name, _) => name,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["a", "server-2", "server-3"]);
}

#[test]
fn a_deleted_object_removes_its_server_before_it_goes() {
    let members = three(State::Ready);
    let leaving = Shown {
        leaving: true,
        ..object(&members[1])
    };
    let mut objects: BTreeMap<String, Shown> = members
        .iter()
        .map(|one| (one.info.peer.name.clone(), object(one)))
        .collect();
    objects.insert("b".to_owned(), leaving);
    assert_eq!(plan(&members, &objects), [Step::Remove("b".to_owned(), 2)]);
    let left = [members[0].clone(), members[2].clone()];
    assert_eq!(plan(&left, &objects), [Step::Release("b".to_owned())]);
}

#[test]
fn a_server_without_which_there_is_no_majority_stays_and_says_why_unless_forced() {
    let members = three(State::NotReady);
    let mut leaving = Shown {
        leaving: true,
        ..object(&members[1])
    };
    let of = |leaving: &Shown| {
        plan(&members, &BTreeMap::from([("b".to_owned(), leaving.clone())]))
            .into_iter()
            .find(|step| !matches!(step, Step::Create(..)))
    };
    let Some(Step::Say(name, why)) = of(&leaving) else {
        panic!("{:?}", of(&leaving));
    };
    assert!(
        name == "b" && why.contains("1 of 2 servers") && why.contains("start c"),
        "{why}"
    );
    leaving.message = why;
    assert_eq!(of(&leaving), None, "said once");
    leaving.forced = true;
    assert_eq!(of(&leaving), Some(Step::Remove("b".to_owned(), 2)));
}

#[test]
fn an_object_without_a_member_goes_and_a_changed_one_is_updated() {
    let old = member(1, "a", Role::Voter, State::Ready);
    let objects = BTreeMap::from([("a".to_owned(), object(&old))]);
    assert_eq!(plan(&[], &objects), [Step::Delete("a".to_owned())]);
    for new in [
        member(1, "a", Role::Leader, State::Ready),
        member(1, "a", Role::Voter, State::NotReady),
        Member { behind: 300, ..old },
    ] {
        assert_eq!(
            plan(std::slice::from_ref(&new), &objects),
            [Step::Update("a".to_owned(), new)]
        );
    }
}

#[test]
fn a_server_that_is_asked_to_lead_does_and_then_nobody_is_asked_any_more() {
    let members = three(State::Ready);
    let asked = |at: usize| Shown {
        lead: true,
        ..object(&members[at])
    };
    let steps = |at: usize, name: &str| {
        let others: Vec<Member> = vec![members[at].clone()];
        plan(&others, &BTreeMap::from([(name.to_owned(), asked(at))]))
    };
    assert_eq!(steps(1, "b"), [Step::HandOver("b".to_owned(), 2)]);
    assert_eq!(steps(0, "a"), [Step::Update("a".to_owned(), members[0].clone())]);
}

#[test]
fn a_silent_server_leaves_the_endpoints_and_a_new_leader_believes_what_was_known() {
    let heard = |ago: u64| Some(Duration::from_secs(ago));
    let mut infos = vec![
        info(1, "a", Role::Leader),
        info(2, "b", Role::Voter),
        info(3, "c", Role::Voter),
    ];
    infos[1].heard = heard(1);
    infos[2].heard = heard(60);
    let shown = |state: State| {
        let object = object(&member(3, "c", Role::Voter, state));
        BTreeMap::from([("c".to_owned(), object)])
    };
    let up = |objects: &BTreeMap<String, Shown>, led: u64| {
        let members = members(infos.clone(), objects, Duration::from_secs(led));
        let found = endpoints(&members);
        found.iter().map(|at| at.ip().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(up(&shown(State::Ready), 60), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(up(&shown(State::Ready), 1), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(up(&shown(State::NotReady), 1), ["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn endpoints_are_on_one_port_and_never_loopback() {
    let mut members = three(State::Ready);
    members[1].info.peer.api = "10.0.0.2:7443".to_owned();
    assert_eq!(endpoints(&members).len(), 2);
    members[0].info.peer.api = "127.0.0.1:6443".to_owned();
    members[2].info.peer.api = "[fd00::3]:6443".to_owned();
    assert!(endpoints(&members).is_empty());
}

#[test]
fn how_far_behind_is_told_in_two_digits() {
    let told: Vec<u64> = [0, 256, 257, 999, 1_234, 98_765].map(coarse).to_vec();
    assert_eq!(told, [0, 0, 250, 990, 1_200, 98_000]);
}
