//! What is to be done so that objects and members say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use controlplane_api::kinds::why_not_remove;
use controlplane_raft::{MemberInfo, Role, ServerId};

/// A server that has not answered the leader for so long counts as gone.
pub(super) const SILENT: Duration = Duration::from_secs(3);
/// Entries that a server may be behind while it counts as caught up: what is on its way all the time.
const CLOSE: u64 = 256;

/// Whether a server can be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    /// It answers and copies what it has not got yet.
    CatchingUp,
    NotReady,
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::CatchingUp => "CatchingUp",
            Self::NotReady => "NotReady",
        }
    }
}

/// A member as the leader sees it, in the words of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) info: MemberInfo,
    pub(super) state: State,
    /// Entries that it is behind, coarsely: an object is not written for each.
    pub(super) behind: u64,
}

/// An object as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) id: Option<ServerId>,
    pub(super) address: String,
    pub(super) api: String,
    pub(super) role: String,
    pub(super) state: String,
    pub(super) behind: u64,
    pub(super) message: String,
    /// It is asked to lead.
    pub(super) lead: bool,
    pub(super) leaving: bool,
    /// It is to leave whatever that means for the others.
    pub(super) forced: bool,
}

/// What to do about a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Create(String, Member),
    Update(String, Member),
    /// The object of this name says why something is not done.
    Say(String, String),
    /// The group is to agree that this server is no member.
    Remove(String, ServerId),
    /// The server is to lead.
    HandOver(String, ServerId),
    /// The server is no member any more.
    Release(String),
    Delete(String),
}

/// `infos` with what is known of how they are. `led` is for how long this server has led: before it could have heard of
/// all others, what `objects` say is believed.
pub(super) fn members(
    infos: Vec<MemberInfo>,
    objects: &BTreeMap<String, Shown>,
    led: Duration,
) -> Vec<Member> {
    let shown = |id| objects.values().find(|object| object.id == Some(id));
    let answers = |info: &MemberInfo| match info.heard {
        _ if info.role == Role::Leader => true,
        Some(ago) if ago < SILENT => true,
        _ => led < SILENT && shown(info.id).is_none_or(|object| object.state != State::NotReady.word()),
    };
    let member = |info: MemberInfo| Member {
        state: match (answers(&info), info.role) {
            (false, _) => State::NotReady,
            (true, Role::Learner) => State::CatchingUp,
            (true, _) => State::Ready,
        },
        behind: coarse(info.behind.unwrap_or(0)),
        info: MemberInfo {
            heard: None,
            behind: None,
            ..info
        },
    };
    infos.into_iter().map(member).collect()
}

/// Two digits, and nothing where it is close.
fn coarse(behind: u64) -> u64 {
    if behind <= CLOSE {
        return 0;
    }
    let unit = 10_u64.pow(behind.ilog10() - 1);
    behind / unit * unit
}

/// Where the API is reached now: servers that vote and answer, on the port of the leader's API, since a Service has one.
pub(super) fn endpoints(members: &[Member]) -> BTreeSet<SocketAddr> {
    let address = |member: &Member| member.info.peer.api.parse::<SocketAddr>().ok();
    let leader = members.iter().find(|member| member.info.role == Role::Leader);
    let Some(first) = leader.and_then(address) else {
        return BTreeSet::new();
    };
    let alike = |at: &SocketAddr| at.port() == first.port() && at.is_ipv4() == first.is_ipv4();
    members
        .iter()
        .filter(|member| member.state == State::Ready)
        .filter_map(address)
        // No pod reaches a loopback address, and Endpoints may not hold one.
        .filter(|at| alike(at) && !at.ip().is_loopback())
        .collect()
}

/// The steps that make objects of `members`, and members of the objects that stay.
pub(super) fn plan(members: &[Member], objects: &BTreeMap<String, Shown>) -> Vec<Step> {
    let mut steps = Vec::new();
    let by_id: BTreeMap<ServerId, &Member> = members.iter().map(|member| (member.info.id, member)).collect();
    for (name, object) in objects {
        let member = object.id.and_then(|id| by_id.get(&id));
        steps.extend(match (member, object.leaving) {
            (Some(member), true) => leave(name, object, member, members),
            (None, true) => Some(Step::Release(name.clone())),
            (None, false) => Some(Step::Delete(name.clone())),
            (Some(member), false) => show(name, object, member),
        });
    }
    let known: BTreeSet<ServerId> = objects.values().filter_map(|object| object.id).collect();
    let mut names: BTreeSet<String> = objects.keys().cloned().collect();
    for member in members.iter().filter(|member| !known.contains(&member.info.id)) {
        let name = name(&member.info, &names);
        names.insert(name.clone());
        steps.push(Step::Create(name, member.clone()));
    }
    steps
}

fn show(name: &str, object: &Shown, member: &Member) -> Option<Step> {
    if object.lead && member.info.role != Role::Leader {
        return Some(Step::HandOver(name.to_owned(), member.info.id));
    }
    (!is_shown(member, object)).then(|| Step::Update(name.to_owned(), member.clone()))
}

fn leave(name: &str, object: &Shown, member: &Member, members: &[Member]) -> Option<Step> {
    let remove = Step::Remove(name.to_owned(), member.info.id);
    let votes: Vec<(&str, bool)> = members
        .iter()
        .filter(|other| other.info.role != Role::Learner)
        .map(|other| (other.info.peer.name.as_str(), other.state == State::Ready))
        .collect();
    match why_not_remove(&member.info.peer.name, &votes) {
        Some(why) if !object.forced => (object.message != why).then(|| Step::Say(name.to_owned(), why)),
        _ => Some(remove),
    }
}

fn is_shown(member: &Member, object: &Shown) -> bool {
    object.address == member.info.peer.address
        && object.api == member.info.peer.api
        && object.role == role(member.info.role)
        && object.state == member.state.word()
        && object.behind == member.behind
        && !object.lead
}

pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "Leader",
        Role::Voter => "Voter",
        Role::Learner => "Learner",
    }
}

/// The server's own name where it can be an object's and is free, else one made of its number.
fn name(info: &MemberInfo, taken: &BTreeSet<String>) -> String {
    let own = info.peer.name.to_lowercase();
    let fits = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.bytes().all(|byte| inner(byte) || byte == b'-')
            && part.bytes().next().is_some_and(inner)
            && part.bytes().last().is_some_and(inner)
    };
    match own.len() <= 253 && own.split('.').all(fits) && !taken.contains(&own) {
        true => own,
        false => format!("server-{}", info.id),
    }
}

#[cfg(test)]
mod tests;
