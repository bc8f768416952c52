//! Elements and who wants them. Several services may want one: endpoints shared by two, or a conflict
//! about a port, which the first by name wins.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cni_plugins_nft::{Change, Element, ElementKey, Value, Verdict};

use crate::service::ObjectName;

/// Who wants an element; the node itself comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Node,
    Service(ObjectName),
}

/// Value and comment.
type Content = (Value, Arc<str>);

/// What was there before the first of several replacements.
pub(crate) type Touched = BTreeMap<ElementKey, Option<Content>>;

/// Every wanted element.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    by_owner: BTreeMap<Owner, BTreeMap<ElementKey, Content>>,
    by_key: BTreeMap<ElementKey, BTreeMap<Owner, Content>>,
}

impl Claims {
    /// Makes `elements` all that `owner` wants, and notes in `touched` what they displace.
    pub(crate) fn replace(&mut self, owner: &Owner, elements: Vec<Element>, touched: &mut Touched) {
        let new: BTreeMap<ElementKey, Content> = elements
            .into_iter()
            .map(|element| (element.key, (element.value, element.comment)))
            .collect();
        let old = self.by_owner.remove(owner).unwrap_or_default();
        for key in old.keys().filter(|key| !new.contains_key(*key)) {
            self.touch(key, touched);
            self.withdraw(key, owner);
        }
        for (key, content) in new.iter().filter(|(key, content)| old.get(*key) != Some(content)) {
            self.touch(key, touched);
            let claims = self.by_key.entry(key.clone()).or_default();
            claims.insert(owner.clone(), content.clone());
        }
        if !new.is_empty() {
            self.by_owner.insert(owner.clone(), new);
        }
    }

    fn touch(&self, key: &ElementKey, touched: &mut Touched) {
        if let Entry::Vacant(place) = touched.entry(key.clone()) {
            place.insert(self.content(key).cloned());
        }
    }

    fn withdraw(&mut self, key: &ElementKey, owner: &Owner) {
        if let Entry::Occupied(mut claims) = self.by_key.entry(key.clone()) {
            claims.get_mut().remove(owner);
            if claims.get().is_empty() {
                claims.remove();
            }
        }
    }

    fn content(&self, key: &ElementKey) -> Option<&Content> {
        self.by_key.get(key)?.values().next()
    }

    /// What `key` leads to.
    pub(crate) fn value(&self, key: &ElementKey) -> Option<&Value> {
        self.content(key).map(|(value, _)| value)
    }

    /// The chains that elements lead to.
    pub(crate) fn chains(&self) -> BTreeSet<Arc<str>> {
        let contents = self.by_key.values().filter_map(|claims| claims.values().next());
        let chain = |(value, _): &Content| match value {
            Value::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain)) => Some(Arc::clone(chain)),
            Value::Verdict(Verdict::Drop) | Value::Tuple(_) | Value::Nothing => None,
        };
        contents.filter_map(chain).collect()
    }

    /// Every wanted element in order.
    pub(crate) fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        self.by_key.iter().filter_map(|(key, claims)| {
            let content = claims.values().next()?;
            Some(element(key, content))
        })
    }

    /// The changes since `touched` was begun.
    pub(crate) fn changes(&self, touched: &Touched) -> Vec<Change> {
        let differs = |(key, before): &(&ElementKey, &Option<Content>)| before.as_ref() != self.content(key);
        let differing = || touched.iter().filter(differs);
        let removed = differing()
            .filter(|(_, before)| before.is_some())
            .map(|(key, _)| Change::Remove(key.clone()));
        let added = differing().filter_map(|(key, _)| Some(Change::Add(element(key, self.content(key)?))));
        removed.chain(added).collect()
    }

    /// The changes that turn `found` into what is wanted.
    pub(crate) fn repair(&self, found: Vec<Element>) -> Vec<Change> {
        let mut touched: Touched = found
            .into_iter()
            .map(|element| (element.key, Some((element.value, element.comment))))
            .collect();
        for key in self.by_key.keys() {
            touched.entry(key.clone()).or_insert(None);
        }
        self.changes(&touched)
    }
}

fn element(key: &ElementKey, (value, comment): &Content) -> Element {
    Element {
        key: key.clone(),
        value: value.clone(),
        comment: Arc::clone(comment),
    }
}
