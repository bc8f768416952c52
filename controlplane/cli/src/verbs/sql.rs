//! `floe sql`.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::api::Api;
use super::output::{Output, note};
use super::query::{Answer, Limits, ask};
use super::table::{Printer, Show};

/// Arguments of `sql`.
#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    /// One SELECT over the views objects, history, events and store.
    sql: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Rows,
    /// Most rows, up to 10000.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: Option<u32>,
    /// Seconds that it may take, up to 30.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=30))]
    timeout: Option<u32>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// In columns.
    #[default]
    Table,
    /// As a list of objects.
    Json,
    /// As RFC 4180 has it, with a head.
    Csv,
}

pub(super) async fn run(api: &Api, args: &SqlArgs, out: &mut Output) -> anyhow::Result<()> {
    let limits = Limits {
        rows: args.limit,
        seconds: args.timeout,
    };
    let answer = ask(api, &args.sql, limits, "answer the query").await?;
    let text = match args.output {
        Rows::Table => table(&answer, out),
        Rows::Json => as_json(&answer)?,
        Rows::Csv => csv(&answer),
    };
    out.write(&text)?;
    if answer.truncated {
        let shown = answer.rows.len();
        note(&format!("There are more rows than these {shown}; see --limit."));
    }
    Ok(())
}

fn table(answer: &Answer, out: &Output) -> String {
    let columns: Vec<Value> = answer.columns.iter().map(|name| json!({"name": name})).collect();
    let line = |cell: &Value| match cell {
        // A line a row, whatever a message holds.
        Value::String(text) => Value::String(text.replace(['\n', '\r', '\t'], " ")),
        other => other.clone(),
    };
    let row = |row: &Vec<Value>| json!({"cells": row.iter().map(line).collect::<Vec<_>>()});
    let rows: Vec<Value> = answer.rows.iter().map(row).collect();
    let table = json!({"kind": "Table", "columnDefinitions": columns, "rows": rows});
    Printer::new(Show::default(), None).print(&table, out.colours())
}

fn as_json(answer: &Answer) -> anyhow::Result<String> {
    let object = |row: &Vec<Value>| {
        let fields = answer.columns.iter().cloned().zip(row.iter().cloned());
        Value::Object(fields.collect())
    };
    let rows: Vec<Value> = answer.rows.iter().map(object).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&rows)?))
}

fn csv(answer: &Answer) -> String {
    let head = answer.columns.iter().map(|name| field(name));
    let mut lines = vec![head.collect::<Vec<_>>().join(",")];
    for row in &answer.rows {
        let cell = |cell: &Value| match cell {
            Value::Null => String::new(),
            Value::String(text) => field(text),
            other => other.to_string(),
        };
        lines.push(row.iter().map(cell).collect::<Vec<_>>().join(","));
    }
    lines.into_iter().map(|line| format!("{line}\r\n")).collect()
}

/// Quoted where it must be; RFC 4180, section 2. An empty text is quoted, to tell it from NULL.
fn field(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Answer {
        Answer {
            columns: vec!["name".to_owned(), "n".to_owned()],
            rows: vec![
                vec![json!("a \"b\", c"), json!(1)],
                vec![json!(""), Value::Null],
                vec![json!("two\nlines"), json!(1.5)],
            ],
            truncated: false,
        }
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        assert_eq!(
            csv(&some()),
            "name,n\r\n\"a \"\"b\"\", c\",1\r\n\"\",\r\n\"two\nlines\",1.5\r\n"
        );
    }

    #[test]
    fn json_is_a_list_of_objects() {
        let read: Value = serde_json::from_str(&as_json(&some()).unwrap()).unwrap();
        assert_eq!(read[1], json!({"name": "", "n": null}));
    }

    #[test]
    fn a_table_has_a_line_a_row() {
        let out = Output::new(Box::new(std::io::sink()), super::super::output::Colours::Off);
        let text = table(&some(), &out);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.starts_with("NAME"), "{text}");
    }
}
