//! The server's tables as text.

use owo_colors::{OwoColorize, Style};
use serde_json::Value;

use super::output::Colours;

/// Spaces between columns.
const GAP: usize = 3;

/// What to show of a table besides its own columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Show {
    /// Columns of lower priority too.
    pub(crate) wide: bool,
    /// The namespace as first column.
    pub(crate) namespaces: bool,
}

/// A printed table whose widths later rows keep to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Printer {
    show: Show,
    kind: Option<String>,
    widths: Vec<usize>,
    /// Indices of the server's columns that are shown, with their names.
    columns: Vec<(usize, String)>,
}

impl Printer {
    /// `kind` stands before each name where tables of several kinds follow each other.
    pub(crate) fn new(show: Show, kind: Option<String>) -> Self {
        Self {
            show,
            kind,
            ..Self::default()
        }
    }

    /// The table as lines: with its head when it is the first that has columns.
    pub(crate) fn print(&mut self, table: &Value, colours: Colours) -> String {
        let mut lines = Vec::new();
        let first = self.columns.is_empty();
        if first {
            self.columns = self.columns_of(table);
            lines.push(self.head());
        }
        let rows = table.get("rows").and_then(Value::as_array);
        lines.extend(rows.into_iter().flatten().map(|row| self.cells(row)));
        if first {
            self.widths = widths(&lines);
        }
        let start = usize::from(first);
        let styled = lines.iter().enumerate().map(|(at, cells)| {
            let head = at < start;
            self.line(cells, |column, cell| match colours {
                Colours::Off => Style::new(),
                Colours::On if head => Style::new().bold(),
                Colours::On => self.style_of(column, cell),
            })
        });
        styled.collect()
    }

    fn columns_of(&self, table: &Value) -> Vec<(usize, String)> {
        let definitions = table.get("columnDefinitions").and_then(Value::as_array);
        let shown = definitions
            .into_iter()
            .flatten()
            .enumerate()
            .filter(|(_, column)| {
                self.show.wide || column.get("priority").and_then(Value::as_i64).unwrap_or(0) == 0
            });
        let name = |column: &Value| {
            column
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_uppercase()
        };
        shown.map(|(at, column)| (at, name(column))).collect()
    }

    fn head(&self) -> Vec<String> {
        let namespace = self.show.namespaces.then(|| "NAMESPACE".to_owned());
        namespace
            .into_iter()
            .chain(self.columns.iter().map(|(_, name)| name.clone()))
            .collect()
    }

    fn cells(&self, row: &Value) -> Vec<String> {
        let namespace = row
            .pointer("/object/metadata/namespace")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let namespace = self.show.namespaces.then(|| namespace.to_owned());
        let cells = self.columns.iter().map(|(at, name)| {
            let cell = text(row.get("cells").and_then(|cells| cells.get(*at)));
            match &self.kind {
                Some(kind) if name == "NAME" => format!("{kind}/{cell}"),
                _ => cell,
            }
        });
        namespace.into_iter().chain(cells).collect()
    }

    /// Pads each cell but the last, outside its colour.
    fn line(&self, cells: &[String], style: impl Fn(usize, &str) -> Style) -> String {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let style = style(at, cell);
            if style == Style::new() {
                line.push_str(cell);
            } else {
                line.push_str(&cell.style(style).to_string());
            }
            if at + 1 < cells.len() {
                let width = self.widths.get(at).copied().unwrap_or(0) + GAP;
                let padding = width.saturating_sub(cell.chars().count()).max(1);
                line.extend(std::iter::repeat_n(' ', padding));
            }
        }
        let trimmed = line.trim_end_matches(' ').len();
        line.truncate(trimmed);
        line.push('\n');
        line
    }

    /// States stand out; other cells are plain.
    fn style_of(&self, column: usize, cell: &str) -> Style {
        let column = column.checked_sub(usize::from(self.show.namespaces));
        let name = column
            .and_then(|at| self.columns.get(at))
            .map(|(_, name)| name.as_str());
        match name {
            Some("STATUS" | "READY" | "CONDITION" | "TYPE") => state_style(cell),
            _ => Style::new(),
        }
    }
}

fn state_style(cell: &str) -> Style {
    const GOOD: [&str; 8] = [
        "Running",
        "Ready",
        "Active",
        "Bound",
        "True",
        "Completed",
        "Succeeded",
        "Available",
    ];
    const WAITING: [&str; 5] = [
        "Pending",
        "ContainerCreating",
        "PodInitializing",
        "Terminating",
        "Warning",
    ];
    if GOOD.contains(&cell) {
        return Style::new().green();
    }
    if WAITING.contains(&cell) || cell.starts_with("Init:") && !cell.contains("Error") {
        return Style::new().yellow();
    }
    if cell.contains("Error")
        || cell.contains("BackOff")
        || cell.contains("OOM")
        || cell.starts_with("NotReady")
        || cell == "Failed"
    {
        return Style::new().red();
    }
    match cell.split_once('/') {
        Some((ready, wanted)) if ready != wanted => Style::new().yellow(),
        _ => Style::new(),
    }
}

fn widths(lines: &[Vec<String>]) -> Vec<usize> {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(at))
            .map(|cell| cell.chars().count())
            .max()
    };
    (0..columns).map(|at| width(at).unwrap_or(0)).collect()
}

fn text(cell: Option<&Value>) -> String {
    match cell {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => text.replace('\n', " "),
        Some(other) => other.to_string(),
    }
}

/// The table of objects that the server gave whole, as one that knows no tables does.
pub(crate) fn of_objects(objects: &[Value]) -> Value {
    let row = |object: &Value| {
        let metadata = object.get("metadata");
        let field = |name| {
            metadata
                .and_then(|metadata| metadata.get(name))
                .cloned()
                .unwrap_or_default()
        };
        serde_json::json!({"cells": [field("name"), field("creationTimestamp")], "object": {"metadata": metadata}})
    };
    serde_json::json!({
        "kind": "Table",
        "columnDefinitions": [{"name": "Name"}, {"name": "Created At"}],
        "rows": objects.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pods() -> Value {
        json!({
            "kind": "Table",
            "columnDefinitions": [{"name": "Name"}, {"name": "Ready"}, {"name": "Status"}, {"name": "Node", "priority": 1}],
            "rows": [
                {"cells": ["web-0", "1/1", "Running", "a"], "object": {"metadata": {"namespace": "default"}}},
                {"cells": ["database-0", "0/1", "CrashLoopBackOff", null], "object": {"metadata": {"namespace": "db"}}},
            ],
        })
    }

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let text = Printer::new(Show::default(), None).print(&pods(), Colours::Off);
        let expected = "NAME         READY   STATUS\nweb-0        1/1     Running\ndatabase-0   0/1     CrashLoopBackOff\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn wide_namespaces_and_kinds_are_shown_on_request() {
        let show = Show {
            wide: true,
            namespaces: true,
        };
        let text = Printer::new(show, Some("pod".to_owned())).print(&pods(), Colours::Off);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["NAMESPACE", "NAME", "READY", "STATUS", "NODE"]);
        assert_eq!(
            lines[2],
            ["db", "pod/database-0", "0/1", "CrashLoopBackOff", "<none>"]
        );
    }

    #[test]
    fn later_rows_keep_to_the_widths_of_the_first() {
        let mut printer = Printer::new(Show::default(), None);
        printer.print(&pods(), Colours::Off);
        let next = json!({"rows": [{"cells": ["web-0", "0/1", "Error"]}]});
        assert_eq!(printer.print(&next, Colours::Off), "web-0        0/1     Error\n");
    }

    #[test]
    fn colours_stand_around_cells_only() {
        let text = Printer::new(Show::default(), None).print(&pods(), Colours::On);
        assert!(text.contains("\x1b[32mRunning\x1b[0m\n"), "{text:?}");
        assert!(text.contains("\x1b[31mCrashLoopBackOff\x1b[0m\n"), "{text:?}");
        assert!(
            !Printer::new(Show::default(), None)
                .print(&pods(), Colours::Off)
                .contains('\x1b')
        );
    }
}
