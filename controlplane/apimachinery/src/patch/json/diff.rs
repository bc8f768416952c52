//! The JSON patch between two values.

use serde_json::{Map, Value};

use super::{JsonPatch, Operation};

impl JsonPatch {
    /// The patch that makes `to` of `from`; short where they have most in common, not the shortest there is.
    #[must_use]
    pub fn between(from: &Value, to: &Value) -> Self {
        let mut differ = Differ::default();
        differ.values(from, to);
        Self(differ.operations)
    }
}

#[derive(Debug, Default)]
struct Differ {
    path: Vec<String>,
    operations: Vec<Operation>,
}

impl Differ {
    fn values(&mut self, from: &Value, to: &Value) {
        match (from, to) {
            _ if from == to => {}
            (Value::Object(from), Value::Object(to)) => self.objects(from, to),
            (Value::Array(from), Value::Array(to)) => self.lists(from, to),
            _ => {
                let (path, value) = (self.path.clone(), to.clone());
                self.operations.push(Operation::Replace { path, value });
            }
        }
    }

    fn objects(&mut self, from: &Map<String, Value>, to: &Map<String, Value>) {
        for name in from.keys().filter(|name| !to.contains_key(*name)) {
            let path = self.at(name);
            self.operations.push(Operation::Remove { path });
        }
        for (name, wanted) in to {
            match from.get(name) {
                Some(current) => self.within(name, current, wanted),
                None => self.add(name, wanted),
            }
        }
    }

    /// Elements that both lists begin and end with stay; between them elements are compared place by place.
    fn lists(&mut self, from: &[Value], to: &[Value]) {
        let same =
            |pairs: &mut dyn Iterator<Item = (&Value, &Value)>| pairs.take_while(|(a, b)| a == b).count();
        let head = same(&mut from.iter().zip(to));
        let (from, to) = (
            from.get(head..).unwrap_or_default(),
            to.get(head..).unwrap_or_default(),
        );
        let tail = same(&mut from.iter().rev().zip(to.iter().rev()));
        let middle = |list: &[Value]| list.len() - tail;
        let (old, new) = (middle(from), middle(to));
        for (place, (current, wanted)) in from.iter().zip(to).take(old.min(new)).enumerate() {
            self.within(&(head + place).to_string(), current, wanted);
        }
        for place in (new..old).rev() {
            let path = self.at(&(head + place).to_string());
            self.operations.push(Operation::Remove { path });
        }
        for (place, wanted) in to.iter().enumerate().take(new).skip(old) {
            self.add(&(head + place).to_string(), wanted);
        }
    }

    fn within(&mut self, step: &str, from: &Value, to: &Value) {
        self.path.push(step.to_owned());
        self.values(from, to);
        self.path.pop();
    }

    fn add(&mut self, step: &str, value: &Value) {
        let (path, value) = (self.at(step), value.clone());
        self.operations.push(Operation::Add { path, value });
    }

    fn at(&self, step: &str) -> Vec<String> {
        let step = [step.to_owned()];
        self.path.iter().cloned().chain(step).collect()
    }
}
