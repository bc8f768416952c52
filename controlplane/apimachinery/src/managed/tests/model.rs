//! Random histories of applies and updates, beside a model that knows nothing of sets, schemas or trees.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{ApplyError, Operation, Server, a_box, owners};
use crate::managed::Managed;

/// What an object says, leaf by leaf. An item of a list is a leaf of its own beside its fields.
type Leaves = BTreeMap<String, Value>;

/// What somebody wants of a box.
#[derive(Debug, Clone)]
struct Wish {
    replicas: Option<u8>,
    args: Option<u8>,
    labels: BTreeMap<char, u8>,
    items: BTreeMap<char, Option<u8>>,
    finalizers: BTreeSet<char>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let name = || proptest::sample::select(vec!['a', 'b', 'c']);
    (
        proptest::option::of(0..3_u8),
        proptest::option::of(0..3_u8),
        proptest::collection::btree_map(name(), 0..2_u8, 0..3),
        proptest::collection::btree_map(name(), proptest::option::of(0..2_u8), 0..3),
        proptest::collection::btree_set(name(), 0..3),
    )
        .prop_map(|(replicas, args, labels, items, finalizers)| Wish {
            replicas,
            args,
            labels,
            items,
            finalizers,
        })
}

impl Wish {
    fn leaves(&self) -> Leaves {
        let mut leaves = Leaves::new();
        leaves.extend(
            self.replicas
                .map(|value| (".spec.replicas".to_owned(), json!(value))),
        );
        leaves.extend(
            self.args
                .map(|value| (".spec.args".to_owned(), json!([value.to_string()]))),
        );
        for (key, value) in &self.labels {
            leaves.insert(format!(".metadata.labels.{key}"), json!(value.to_string()));
        }
        for (name, image) in &self.items {
            let item = format!(".spec.items[name=\"{name}\"]");
            leaves.insert(format!("{item}.name"), json!(name));
            leaves.extend(image.map(|image| (format!("{item}.image"), json!(image.to_string()))));
            leaves.insert(item, json!(true));
        }
        for value in &self.finalizers {
            leaves.insert(format!(".metadata.finalizers[=\"{value}\"]"), json!(true));
        }
        leaves
    }

    fn object(&self) -> Value {
        let mut spec = Map::new();
        spec.extend(self.replicas.map(|value| ("replicas".to_owned(), json!(value))));
        spec.extend(
            self.args
                .map(|value| ("args".to_owned(), json!([value.to_string()]))),
        );
        let item = |(name, image): (&char, &Option<u8>)| match image {
            Some(image) => json!({"name": name, "image": image.to_string()}),
            None => json!({"name": name}),
        };
        if !self.items.is_empty() {
            spec.insert("items".to_owned(), self.items.iter().map(item).collect());
        }
        let mut object = a_box(Value::Object(spec));
        if !self.labels.is_empty() {
            let labels: Map<String, Value> = self
                .labels
                .iter()
                .map(|(key, value)| (key.to_string(), json!(value.to_string())))
                .collect();
            object["metadata"]["labels"] = labels.into();
        }
        if !self.finalizers.is_empty() {
            object["metadata"]["finalizers"] = self.finalizers.iter().map(|value| json!(value)).collect();
        }
        object
    }
}

/// What an object says.
fn leaves_of(object: &Value) -> Leaves {
    let mut leaves = Leaves::new();
    for field in ["replicas", "args"] {
        leaves.extend(
            object["spec"]
                .get(field)
                .map(|value| (format!(".spec.{field}"), value.clone())),
        );
    }
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        leaves.insert(format!(".metadata.labels.{key}"), value.clone());
    }
    for item in object["spec"]["items"].as_array().into_iter().flatten() {
        let path = format!(".spec.items[name={}]", item["name"]);
        for (name, value) in item.as_object().into_iter().flatten() {
            leaves.insert(format!("{path}.{name}"), value.clone());
        }
        leaves.insert(path, json!(true));
    }
    for value in object["metadata"]["finalizers"].as_array().into_iter().flatten() {
        leaves.insert(format!(".metadata.finalizers[={value}]"), json!(true));
    }
    leaves
}

type Owner = (String, Operation);

/// What the rules say, in as few words as they can be said.
#[derive(Debug, Clone, Default)]
struct Model {
    leaves: Leaves,
    owners: BTreeMap<Owner, BTreeSet<String>>,
}

impl Model {
    /// The paths that a new value of some leaves would take from others.
    fn taken(&self, wanted: &Leaves, own: &Owner) -> BTreeSet<String> {
        let changed = wanted
            .iter()
            .filter(|(path, value)| self.leaves.get(*path) != Some(*value))
            .map(|(path, _)| path);
        changed
            .filter(|path| {
                self.owners
                    .iter()
                    .any(|(owner, paths)| owner != own && paths.contains(*path))
            })
            .cloned()
            .collect()
    }

    fn apply(&mut self, manager: &str, wanted: &Leaves, force: bool) -> Result<(), BTreeSet<String>> {
        let own = (manager.to_owned(), Operation::Apply);
        let conflicts = self.taken(wanted, &own);
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        let last = self.owners.remove(&own).unwrap_or_default();
        let mut new = self.leaves.clone();
        new.extend(wanted.clone());
        for path in last.iter().filter(|path| !wanted.contains_key(*path)) {
            if !self.owners.values().any(|paths| paths.contains(path)) {
                // An item goes with all that is in it.
                new.retain(|kept, _| kept != path && !kept.starts_with(&format!("{path}.")));
            }
        }
        self.become_with(new);
        self.own(own, wanted.keys().cloned().collect());
        Ok(())
    }

    fn update(&mut self, manager: &str, new: Leaves) {
        let changed = new
            .iter()
            .filter(|(path, value)| self.leaves.get(*path) != Some(*value))
            .map(|(path, _)| path.clone())
            .collect();
        self.become_with(new);
        self.own((manager.to_owned(), Operation::Update), changed);
    }

    /// Nobody owns any more what is changed or gone.
    fn become_with(&mut self, new: Leaves) {
        for paths in self.owners.values_mut() {
            paths.retain(|path| new.contains_key(path) && new.get(path) == self.leaves.get(path));
        }
        self.leaves = new;
    }

    fn own(&mut self, owner: Owner, paths: BTreeSet<String>) {
        self.owners.entry(owner).or_default().extend(paths);
        self.owners.retain(|_, paths| !paths.is_empty());
    }
}

/// The owners of leaves; those of lists and maps as such are left out, which the model does not know.
fn owners_of(object: &Value) -> BTreeMap<Owner, BTreeSet<String>> {
    let list = object["metadata"]
        .get("managedFields")
        .cloned()
        .unwrap_or_default();
    let managed = Managed::decode(&list).unwrap();
    let is_leaf = |path: &String| {
        !matches!(
            path.as_str(),
            ".spec" | ".spec.items" | ".metadata.labels" | ".metadata.finalizers" | ".spec.template"
        )
    };
    let mut found = BTreeMap::new();
    for entry in managed.entries() {
        let paths: BTreeSet<String> = entry.fields.paths().into_iter().filter(is_leaf).collect();
        if !paths.is_empty() {
            found.insert((entry.manager.clone(), entry.operation), paths);
        }
    }
    found
}

#[derive(Debug, Clone)]
enum Step {
    Apply {
        manager: &'static str,
        wish: Wish,
        force: bool,
    },
    Update {
        manager: &'static str,
        wish: Wish,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let manager = || proptest::sample::select(vec!["x", "y", "z"]);
    prop_oneof![
        3 => (manager(), wish(), any::<bool>()).prop_map(|(manager, wish, force)| Step::Apply { manager, wish, force }),
        1 => (manager(), wish()).prop_map(|(manager, wish)| Step::Update { manager, wish }),
    ]
}

proptest! {
    #[test]
    fn any_history_of_applies_and_updates_is_the_models(steps in proptest::collection::vec(step(), 1..12)) {
        let server = Server::new();
        let mut model = Model::default();
        let mut live: Option<Value> = None;
        for step in steps {
            match step {
                Step::Apply { manager, wish, force } => {
                    let expected = model.apply(manager, &wish.leaves(), force);
                    match (server.applied(live.as_ref(), manager, &wish.object(), force), expected) {
                        (Ok(object), Ok(())) => live = Some(object),
                        (Err(ApplyError::Conflicts(found)), Err(expected)) => {
                            let found: BTreeSet<String> = found.into_iter().map(|conflict| conflict.path).collect();
                            prop_assert_eq!(found, expected);
                        }
                        (found, expected) => prop_assert!(false, "{found:?} where the model has {expected:?}"),
                    }
                }
                Step::Update { manager, wish } => {
                    // Once nobody owns anything, nobody keeps track until the next apply.
                    if live.as_ref().is_some_and(|live| owners(live).is_empty()) {
                        continue;
                    }
                    model.update(manager, wish.leaves());
                    live = Some(server.update(live.as_ref(), manager, &wish.object()));
                }
            }
            if let Some(live) = &live {
                prop_assert_eq!(&leaves_of(live), &model.leaves);
                prop_assert_eq!(owners_of(live), model.owners.clone());
            }
        }
    }

    #[test]
    fn an_apply_that_went_through_changes_nothing_the_second_time(
        steps in proptest::collection::vec((0..3_usize, wish()), 0..4), last in wish(),
    ) {
        let mut server = Server::new();
        let mut live = server.update(None, "creator", &a_box(json!({})));
        for (manager, wish) in steps {
            let name = ["x", "y", "z"][manager];
            live = server.force(&live, name, &wish.object());
        }
        let once = server.force(&live, "x", &last.object());
        server.later();
        prop_assert_eq!(server.force(&once, "x", &last.object()), once);
    }

    #[test]
    fn no_owner_loses_a_field_that_keeps_its_value(first in wish(), second in wish(), third in wish(), force: bool) {
        let server = Server::new();
        let before = server.applied(None, "x", &first.object(), false).unwrap();
        let Ok(before) = server.applied(Some(&before), "y", &second.object(), force) else { return Ok(()) };
        let Ok(after) = server.applied(Some(&before), "y", &third.object(), force) else { return Ok(()) };
        let (old, new) = (leaves_of(&before), leaves_of(&after));
        let x = ("x".to_owned(), Operation::Apply);
        let kept = owners_of(&after).remove(&x).unwrap_or_default();
        for path in owners_of(&before).remove(&x).unwrap_or_default() {
            prop_assert!(kept.contains(&path) || old.get(&path) != new.get(&path), "{path} of {x:?}");
        }
    }
}
