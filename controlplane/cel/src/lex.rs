//! An expression as tokens.

use crate::error::Errors;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Ident,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    /// An operator, a bracket or one of `in`, `true`, `false`, `null`: told by its text.
    Sign,
    End,
}

/// A token with its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexeme<'a> {
    pub(crate) token: Token,
    pub(crate) text: &'a str,
    /// Characters from the start.
    pub(crate) at: usize,
}

const LONG_SIGNS: [&str; 6] = ["==", "!=", "<=", ">=", "&&", "||"];
const SIGNS: &str = "<>+-*/%!?:.,()[]{}";
const WORDS: [&str; 4] = ["in", "true", "false", "null"];

/// The tokens of `source`, an end after them; what is none is added to `errors` and left out.
pub(crate) fn lex<'a>(source: &'a str, errors: &mut Errors) -> Vec<Lexeme<'a>> {
    let mut found = Vec::new();
    let (mut rest, mut at) = (source, 0);
    loop {
        let blank = blank(rest);
        at += blank.chars().count();
        rest = rest.get(blank.len()..).unwrap_or_default();
        if rest.is_empty() {
            found.push(Lexeme {
                token: Token::End,
                text: "<EOF>",
                at,
            });
            return found;
        }
        let length = match token(rest) {
            Ok((token, length)) => {
                let text = rest.get(..length).unwrap_or_default();
                found.push(Lexeme { token, text, at });
                length
            }
            Err(length) => {
                let text = rest.get(..length).unwrap_or_default();
                errors.add(at, format!("Syntax error: token recognition error at: '{text}'"));
                length
            }
        };
        at += rest.get(..length).map_or(1, |text| text.chars().count());
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// Spaces and comments at the start.
fn blank(text: &str) -> &str {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{c}']);
        let trimmed = match trimmed.strip_prefix("//") {
            Some(comment) => comment
                .find('\n')
                .map_or("", |end| comment.get(end..).unwrap_or("")),
            None => trimmed,
        };
        if trimmed.len() == rest.len() {
            return text.get(..text.len() - rest.len()).unwrap_or_default();
        }
        rest = trimmed;
    }
}

/// The token at the start and its bytes; the bytes of what is none.
fn token(text: &str) -> Result<(Token, usize), usize> {
    if let Some(found) = quoted(text) {
        return found;
    }
    let first = text.chars().next().unwrap_or_default();
    if first.is_ascii_alphabetic() || first == '_' {
        let word = while_in(text, |letter| letter.is_ascii_alphanumeric() || letter == '_');
        let sign = text.get(..word).is_some_and(|word| WORDS.contains(&word));
        return Ok((if sign { Token::Sign } else { Token::Ident }, word));
    }
    if let Some(found) = number(text) {
        return Ok(found);
    }
    if LONG_SIGNS.iter().any(|sign| text.starts_with(sign)) {
        return Ok((Token::Sign, 2));
    }
    if SIGNS.contains(first) {
        return Ok((Token::Sign, first.len_utf8()));
    }
    // Half of a sign takes what stands in the place of its other half with it.
    let second = text.chars().nth(1).map_or(0, char::len_utf8);
    let half = matches!(first, '&' | '|' | '=');
    Err(first.len_utf8() + if half { second } else { 0 })
}

fn while_in(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !wanted(letter)).unwrap_or(text.len())
}

fn digits(text: &str) -> usize {
    while_in(text, |letter| letter.is_ascii_digit())
}

/// A number without its sign; `.5` is one, too.
fn number(text: &str) -> Option<(Token, usize)> {
    let unsigned = |length: usize| {
        let rest = text.get(length..).unwrap_or_default();
        if rest.starts_with(['u', 'U']) {
            (Token::Uint, length + 1)
        } else {
            (Token::Int, length)
        }
    };
    if let Some(hex) = text.strip_prefix("0x") {
        let length = while_in(hex, |letter| letter.is_ascii_hexdigit());
        if length > 0 {
            return Some(unsigned(length + 2));
        }
    }
    let whole = digits(text);
    let rest = text.get(whole..).unwrap_or_default();
    let fraction = rest.strip_prefix('.').map_or(0, digits);
    let mut length = whole + if fraction > 0 { fraction + 1 } else { 0 };
    if length == 0 {
        return None;
    }
    let exponent = text.get(length..).and_then(|rest| rest.strip_prefix(['e', 'E']));
    let signed = exponent.map(|text| (text.len(), text.strip_prefix(['+', '-']).unwrap_or(text)));
    let exponent = signed.map_or(0, |(all, text)| match digits(text) {
        0 => 0,
        count => 1 + (all - text.len()) + count,
    });
    length += exponent;
    if fraction > 0 || exponent > 0 {
        return Some((Token::Double, length));
    }
    Some(unsigned(length))
}

/// A text or bytes, with prefixes; none where nothing quoted stands at the start.
fn quoted(text: &str) -> Option<Result<(Token, usize), usize>> {
    let prefix = while_in(text, |letter| matches!(letter, 'r' | 'R' | 'b' | 'B'));
    let (marks, body) = text.split_at_checked(prefix)?;
    let quote = body
        .chars()
        .next()
        .filter(|letter| matches!(letter, '"' | '\''))?;
    let lower = marks.to_ascii_lowercase();
    if !matches!(lower.as_str(), "" | "r" | "b" | "br") {
        return None;
    }
    let token = if lower.contains('b') {
        Token::Bytes
    } else {
        Token::Text
    };
    let triple: String = [quote; 3].iter().collect();
    let end = if body.starts_with(&triple) {
        inside(body, 3, &triple, lower.contains('r'), true)
    } else {
        inside(body, 1, &quote.to_string(), lower.contains('r'), false)
    };
    Some(
        end.map(|length| (token, prefix + length))
            .map_err(|length| prefix + length),
    )
}

/// Bytes up to the end of what is quoted, marks counted; where it has no end, up to what is wrong.
fn inside(body: &str, from: usize, end: &str, raw: bool, lines: bool) -> Result<usize, usize> {
    let mut at = from;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(end) {
            return Ok(at + end.len());
        }
        let Some(letter) = rest.chars().next() else {
            return Err(body.len());
        };
        if !lines && matches!(letter, '\n' | '\r') {
            return Err(at + 1);
        }
        at += if letter == '\\' && !raw {
            escape(rest).map_err(|length| at + length)?
        } else {
            letter.len_utf8()
        };
    }
}

/// Bytes of an escape; where it is none, bytes up to what is wrong.
fn escape(text: &str) -> Result<usize, usize> {
    let mut letters = text.chars();
    letters.next();
    let kind = letters.next().unwrap_or_default();
    let (skipped, count, octal) = match kind {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '`' | '\\' | '?' => return Ok(2),
        'x' | 'X' => (2, 2, false),
        'u' => (2, 4, false),
        'U' => (2, 8, false),
        '0'..='3' => (2, 2, true),
        other => return Err(1 + other.len_utf8().min(text.len() - 1)),
    };
    let wanted = |letter: char| letter.is_digit(if octal { 8 } else { 16 });
    let good = letters.take(count).take_while(|letter| wanted(*letter)).count();
    if good == count {
        Ok(skipped + count)
    } else {
        Err((skipped + good + 1).min(text.len()))
    }
}
