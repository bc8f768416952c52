//! Where in an object a walk is.

use std::fmt::Write as _;

/// One step into an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    /// A field of a type.
    Field(&'a str),
    /// A key of a map.
    Key(&'a str),
    /// An element of a list.
    Index(usize),
}

/// The steps from the root; text is made only when it is needed.
#[derive(Debug, Default)]
pub(crate) struct Path<'a>(Vec<Step<'a>>);

impl<'a> Path<'a> {
    pub(crate) fn push(&mut self, step: Step<'a>) {
        self.0.push(step);
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }

    pub(crate) fn depth(&self) -> usize {
        self.0.len()
    }

    /// `spec.containers[0].name`.
    pub(crate) fn display(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Field(name) | Step::Key(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(name);
                }
                // Writing to a string cannot fail.
                Step::Index(place) => drop(write!(text, "[{place}]")),
            }
        }
        text
    }

    /// `spec.containers.name`: fields of types only, as Go's decoder names them.
    pub(crate) fn fields(&self) -> String {
        let names: Vec<&str> = self
            .0
            .iter()
            .filter_map(|step| match step {
                Step::Field(name) => Some(*name),
                Step::Key(_) | Step::Index(_) => None,
            })
            .collect();
        names.join(".")
    }
}
