//! What is wrong with an expression, and where.

/// Errors that are shown; further ones are counted.
const MAX_SHOWN: usize = 100;

/// What was found so far, by place: characters from the start.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<(usize, String)>);

impl Errors {
    pub(crate) fn add(&mut self, at: usize, what: impl Into<String>) {
        self.0.push((at, what.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them in order of their places, each with its line of `source` and a caret below.
    pub(crate) fn shown(mut self, source: &str) -> String {
        self.0.sort_by_key(|(at, _)| *at);
        let count = self.0.len();
        let mut lines: Vec<String> = self
            .0
            .iter()
            .take(MAX_SHOWN)
            .map(|(at, what)| line(source, *at, what))
            .collect();
        if count > MAX_SHOWN {
            lines.push(format!("{} more errors were truncated", count - MAX_SHOWN));
        }
        lines.join("\n")
    }
}

fn line(source: &str, at: usize, what: &str) -> String {
    let before: String = source.chars().take(at).collect();
    let number = before.matches('\n').count();
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count();
    let text = source
        .split('\n')
        .nth(number)
        .unwrap_or_default()
        .replace('\t', " ");
    let dots = ".".repeat(column);
    format!(
        "ERROR: <input>:{}:{}: {what}\n | {text}\n | {dots}^",
        number + 1,
        column + 1
    )
}
