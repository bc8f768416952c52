//! `servers.floe.dev`: the members of the group as objects, kept by the server that leads.
//!
//! An object is made for each member, and says what it is. Deleting one removes the server: a finalizer keeps the object
//! until the group has agreed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controlplane_raft::{Change, MemberInfo, Members, Role, ServerId};
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Keeps an object until its server is removed.
const FINALIZER: &str = "floe.dev/member";
/// How often members and objects are compared: both are few, and change by hand.
const EVERY: Duration = Duration::from_secs(1);

/// An object as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    id: Option<ServerId>,
    address: String,
    api: String,
    role: String,
    leaving: bool,
}

/// What to do about a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Create(String, MemberInfo),
    Update(String, MemberInfo),
    /// The group is to agree that this server is no member.
    Remove(ServerId),
    /// The server is no member any more.
    Release(String),
    Delete(String),
}

/// Compares members and objects until `stop`.
pub(crate) async fn run(client: Client, members: Members, stop: CancellationToken) {
    let kind =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("floe.dev", "v1", "Server"), "servers");
    let api: Api<DynamicObject> = Api::all_with(client, &kind);
    loop {
        if let Err(error) = compare(&api, &kind, &members).await {
            warn!(
                error = &*error,
                "the servers could not be shown as objects, trying again"
            );
        }
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: a dropped sleep loses nothing.
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn compare(api: &Api<DynamicObject>, kind: &ApiResource, members: &Members) -> anyhow::Result<()> {
    let objects = api.list(&ListParams::default()).await?;
    let shown = objects
        .items
        .iter()
        .filter_map(|object| Some((object.metadata.name.clone()?, shown(object))));
    for step in plan(&members.list(), &shown.collect()) {
        apply(api, kind, members, step).await?;
    }
    Ok(())
}

fn shown(object: &DynamicObject) -> Shown {
    let text = |path: &str| {
        let value = object.data.pointer(path).and_then(|value| value.as_str());
        value.unwrap_or_default().to_owned()
    };
    Shown {
        id: text("/spec/id").parse().ok(),
        address: text("/spec/peerAddress"),
        api: text("/spec/apiAddress"),
        role: text("/status/role"),
        leaving: object.metadata.deletion_timestamp.is_some(),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "Leader",
        Role::Voter => "Voter",
        Role::Learner => "Learner",
    }
}

/// The steps that make objects of `members`, and members of the objects that stay.
fn plan(members: &[MemberInfo], objects: &BTreeMap<String, Shown>) -> Vec<Step> {
    let mut steps = Vec::new();
    let by_id: BTreeMap<ServerId, &MemberInfo> = members.iter().map(|info| (info.id, info)).collect();
    for (name, object) in objects {
        let member = object.id.and_then(|id| by_id.get(&id));
        steps.extend(match (member, object.leaving) {
            (Some(info), true) => Some(Step::Remove(info.id)),
            (None, true) => Some(Step::Release(name.clone())),
            (None, false) => Some(Step::Delete(name.clone())),
            (Some(info), false) if is_shown(info, object) => None,
            (Some(info), false) => Some(Step::Update(name.clone(), (*info).clone())),
        });
    }
    let known: BTreeSet<ServerId> = objects.values().filter_map(|object| object.id).collect();
    let mut names: BTreeSet<String> = objects.keys().cloned().collect();
    for info in members.iter().filter(|info| !known.contains(&info.id)) {
        let name = name(info, &names);
        names.insert(name.clone());
        steps.push(Step::Create(name, info.clone()));
    }
    steps
}

fn is_shown(info: &MemberInfo, object: &Shown) -> bool {
    object.address == info.peer.address && object.api == info.peer.api && object.role == role(info.role)
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

async fn apply(
    api: &Api<DynamicObject>,
    kind: &ApiResource,
    members: &Members,
    step: Step,
) -> anyhow::Result<()> {
    match step {
        Step::Create(name, info) => {
            let mut object = DynamicObject::new(&name, kind).data(content(&info));
            object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
            api.create(&PostParams::default(), &object).await?;
            show_role(api, &name, &info).await?;
        }
        Step::Update(name, info) => {
            let patch = Patch::Merge(content(&info));
            api.patch(&name, &PatchParams::default(), &patch).await?;
            show_role(api, &name, &info).await?;
        }
        Step::Remove(id) => {
            members.change(Change::Remove(id)).await?;
            info!(server = id, "server removed from the cluster");
        }
        Step::Release(name) => {
            let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            api.patch(&name, &PatchParams::default(), &patch).await?;
        }
        Step::Delete(name) => {
            api.delete(&name, &DeleteParams::default()).await?;
        }
    }
    Ok(())
}

fn content(info: &MemberInfo) -> serde_json::Value {
    json!({
        "spec": {
            // A text: not every client keeps a number of 63 bits.
            "id": info.id.to_string(),
            "peerAddress": info.peer.address,
            "apiAddress": info.peer.api,
        },
    })
}

/// A status is written apart, as for every kind.
async fn show_role(api: &Api<DynamicObject>, name: &str, info: &MemberInfo) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({"status": {"role": role(info.role)}}));
    api.patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use controlplane_raft::Peer;

    fn member(id: ServerId, name: &str, role: Role) -> MemberInfo {
        let peer = Peer {
            name: name.to_owned(),
            address: format!("{name}:6444"),
            api: format!("{name}:6443"),
        };
        MemberInfo {
            id,
            peer,
            role,
            behind: None,
        }
    }

    fn object(info: &MemberInfo) -> Shown {
        Shown {
            id: Some(info.id),
            address: info.peer.address.clone(),
            api: info.peer.api.clone(),
            role: role(info.role).to_owned(),
            leaving: false,
        }
    }

    #[test]
    fn members_that_are_shown_as_they_are_need_nothing() {
        let members = [member(1, "a", Role::Leader), member(2, "b", Role::Learner)];
        let objects = members.iter().map(|info| (info.peer.name.clone(), object(info)));
        assert_eq!(plan(&members, &objects.collect()), []);
    }

    #[test]
    fn a_new_member_is_shown_under_a_name_that_is_free_and_valid() {
        let members = [
            member(1, "a", Role::Leader),
            member(2, "A", Role::Voter),
            member(3, "under_score", Role::Voter),
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
        let info = member(2, "b", Role::Voter);
        let leaving = Shown {
            leaving: true,
            ..object(&info)
        };
        let objects = BTreeMap::from([("b".to_owned(), leaving)]);
        assert_eq!(plan(std::slice::from_ref(&info), &objects), [Step::Remove(2)]);
        assert_eq!(plan(&[], &objects), [Step::Release("b".to_owned())]);
    }

    #[test]
    fn an_object_without_a_member_goes_and_a_changed_one_is_updated() {
        let old = member(1, "a", Role::Voter);
        let objects = BTreeMap::from([("a".to_owned(), object(&old))]);
        assert_eq!(plan(&[], &objects), [Step::Delete("a".to_owned())]);
        let new = member(1, "a", Role::Leader);
        assert_eq!(
            plan(std::slice::from_ref(&new), &objects),
            [Step::Update("a".to_owned(), new)]
        );
    }
}
