//! Values as YAML: block style, lists not indented beneath their names, quotes where text would mean something else.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::scalar::{Meant, implied};

/// Longest name of a member that stands before its colon without a question mark; readers need take 1 024 characters.
const SIMPLE_KEY: usize = 128;

/// `value` as a document.
pub(in crate::codec) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => members(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => list(&mut out, items, 0, false),
        Value::String(text) if text.contains('\n') => {
            quoted(&mut out, text);
            out.push('\n');
        }
        scalar => {
            leaf(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    out
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// The members of a map; `begun` where the first continues a line.
fn members(out: &mut String, map: &Map<String, Value>, indent: usize, begun: bool) {
    for (at, (name, value)) in map.iter().enumerate() {
        if at > 0 || !begun {
            pad(out, indent);
        }
        if name.len() > SIMPLE_KEY {
            out.push_str("? ");
            quoted(out, name);
            out.push('\n');
            pad(out, indent);
            out.push_str(": ");
            flow(out, value);
            out.push('\n');
            continue;
        }
        match name.contains('\n') {
            true => quoted(out, name),
            false => line(out, name),
        }
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                members(out, map, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                list(out, items, indent, false);
            }
            scalar => {
                out.push(' ');
                leaf(out, scalar, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn list(out: &mut String, items: &[Value], indent: usize, begun: bool) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 || !begun {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => members(out, map, indent + 2, true),
            Value::Array(items) if !items.is_empty() => list(out, items, indent + 2, true),
            scalar => {
                leaf(out, scalar, indent + 2);
                out.push('\n');
            }
        }
    }
}

/// What holds nothing else; the lines of a block stand at `indent`.
fn leaf(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) if is_block(text) => block(out, text, indent),
        Value::String(text) => line(out, text),
        other => out.push_str(&other.to_string()),
    }
}

/// A value on one line, as JSON has it.
fn flow(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => quoted(out, text),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "[" } else { ", " });
                flow(out, item);
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(map) => {
            for (at, (name, member)) in map.iter().enumerate() {
                out.push_str(if at == 0 { "{" } else { ", " });
                quoted(out, name);
                out.push_str(": ");
                flow(out, member);
            }
            out.push_str(if map.is_empty() { "{}" } else { "}" });
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Text on one line, with quotes where it needs them.
fn line(out: &mut String, text: &str) {
    if !text.chars().all(is_printable) || text.contains('\n') || means_otherwise(text) {
        quoted(out, text);
    } else if is_plain(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

/// Whether text without quotes would be read as something else by a reader of YAML 1.1 or 1.2.
fn means_otherwise(text: &str) -> bool {
    let is_text = matches!(implied(text), Meant::Value(Value::String(_)));
    !is_text || is_sexagesimal(text) || is_date(text) || matches!(text, "<<" | "=")
}

/// Numbers to the base of 60, as YAML 1.1 has them: `1:30`.
fn is_sexagesimal(text: &str) -> bool {
    text.contains(':')
        && text.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first))
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-:._".contains(&byte))
}

/// A date, with or without a time.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| part.len() <= length && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_day = |part: &str| part.starts_with(|first: char| first.is_ascii_digit());
    digits(parts.next(), 4) && digits(parts.next(), 2) && parts.next().is_some_and(is_day)
}

/// Whether text may stand without quotes, anywhere in block style.
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let (Some(first), second) = (chars.next(), chars.next()) else {
        return false;
    };
    let begins = match first {
        '-' | '?' | ':' => second.is_some_and(|next| next != ' ') && !text.starts_with("---"),
        _ => !",[]{}#&*!|>'\"%@` ".contains(first) && !text.starts_with("..."),
    };
    begins && !text.ends_with([' ', ':']) && !text.contains(": ") && !text.contains(" #")
}

fn is_printable(char: char) -> bool {
    !char.is_control()
        && !matches!(
            char,
            '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// Whether text is written as lines of its own.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && !text.contains(" \n")
        && !text.ends_with(' ')
        && text.chars().all(|char| char == '\n' || is_printable(char))
}

fn block(out: &mut String, text: &str, indent: usize) {
    let ending = match text.strip_suffix('\n') {
        None => "|-",
        Some(rest) if rest.ends_with('\n') => "|+",
        Some(_) => "|",
    };
    out.push_str(ending);
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            char if is_printable(char) => out.push(char),
            char if u32::from(char) < 0x100 => write_code(out, 'x', 2, char),
            char => write_code(out, 'u', 4, char),
        }
    }
    out.push('"');
}

/// A character by its number; of those that cannot be printed none needs more than four digits.
fn write_code(out: &mut String, letter: char, digits: usize, char: char) {
    let written = write!(out, "\\{letter}{:0digits$x}", u32::from(char));
    debug_assert!(written.is_ok(), "a string takes whatever is written");
}
