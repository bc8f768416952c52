//! What an expression is made from.

use super::{Parsed, Parser, expected, is};
use crate::lex::{Lexeme, Token};
use crate::macros;
use crate::tree::{Element, Entry, Expr, Field, Kind};

/// Words that no variable may be called by, as in cel-go.
pub const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// What is between the quotes of a text that has no escapes.
fn plain(literal: &str) -> Option<String> {
    let quoted = literal.trim_start_matches(['r', 'R']);
    if quoted.contains('\\') {
        return None;
    }
    let quote = quoted.chars().next()?;
    let triple: String = [quote; 3].iter().collect();
    let single = quote.to_string();
    let mark = if quoted.len() >= 6 && quoted.starts_with(&triple) {
        &triple
    } else {
        &single
    };
    Some(
        quoted
            .strip_prefix(mark.as_str())?
            .strip_suffix(mark.as_str())?
            .to_owned(),
    )
}

impl<'a> Parser<'a> {
    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        self.operand(expected::PRIMARY)?;
        let first = self.peek();
        if is(first, ".") || first.token == Token::Ident {
            return self.name();
        }
        let first = self.take();
        match (first.token, first.text) {
            (Token::Int, text) => self.whole(first, text, Kind::Int),
            (Token::Uint, text) => self.whole(first, text.trim_end_matches(['u', 'U']), Kind::Uint),
            (Token::Double, _) => self.leaf(first.at, Kind::Double),
            (Token::Text, text) => self.leaf(first.at, Kind::Text(plain(text))),
            (Token::Bytes, _) => self.leaf(first.at, Kind::Bytes),
            (_, "true" | "false") => self.leaf(first.at, Kind::Bool),
            (_, "null") => self.leaf(first.at, Kind::Null),
            (_, "(") => {
                let found = self.expression()?;
                self.close(")", expected::IN_PARENTHESES)?;
                Ok(found)
            }
            (_, "[") => self.list(first.at),
            (_, "{") => self.map(first.at),
            _ => self.unexpected("mismatched", first, expected::PRIMARY),
        }
    }

    fn leaf(&mut self, at: usize, kind: Kind) -> Parsed<Expr> {
        self.built(at, kind, 1)
    }

    /// A whole number that fits into 64 bits, its sign counted.
    fn whole(&mut self, found: Lexeme<'a>, text: &str, kind: Kind) -> Parsed<Expr> {
        let number = match text.strip_prefix("0x") {
            Some(hex) => u128::from_str_radix(hex, 16),
            None => text.parse(),
        };
        let before = self.next.checked_sub(2).and_then(|place| self.tokens.get(place));
        let minus = before.is_some_and(|token| is(*token, "-") && token.at + 1 == found.at);
        let (max, name) = match kind {
            Kind::Uint => (u128::from(u64::MAX), "uint"),
            _ if minus => (1 << 63, "int"),
            _ => ((1 << 63) - 1, "int"),
        };
        if number.is_ok_and(|number| number <= max) {
            return self.leaf(found.at, kind);
        }
        self.fail(found.at, format!("invalid {name} literal"))
    }

    /// A variable, a call or a message, all of which begin with a name.
    fn name(&mut self) -> Parsed<Expr> {
        let dot = self.accept(".");
        let first = self.peek();
        if first.token != Token::Ident {
            let text = if first.token == Token::End { "" } else { first.text };
            return self.fail(
                first.at,
                format!("Syntax error: no viable alternative at input '.{text}'"),
            );
        }
        self.take();
        if RESERVED.contains(&first.text) {
            return self.fail(first.at, format!("reserved identifier: {}", first.text));
        }
        if let Some(open) = self.message_opens() {
            return self.message(dot.is_some(), first, open);
        }
        if let Some(open) = self.accept("(") {
            let args = self.arguments()?;
            return self.called(open.at, first.text, None, args);
        }
        let name = if dot.is_some() {
            format!(".{}", first.text)
        } else {
            first.text.to_owned()
        };
        self.leaf(first.at, Kind::Ident(name))
    }

    /// How many tokens ahead the brace of a message stands, whose name may have dots.
    fn message_opens(&self) -> Option<usize> {
        let mut ahead = 0;
        while is(self.ahead(ahead), ".") && self.ahead(ahead + 1).token == Token::Ident {
            ahead += 2;
        }
        is(self.ahead(ahead), "{").then_some(ahead)
    }

    fn message(&mut self, rooted: bool, first: Lexeme<'a>, ahead: usize) -> Parsed<Expr> {
        let mut name = format!("{}{}", if rooted { "." } else { "" }, first.text);
        for _ in 0..ahead {
            name.push_str(self.take().text);
        }
        let at = self.take().at;
        let mut fields = Vec::new();
        while !self.is("}") {
            let optional = self.accept("?").is_some();
            let field = self.take();
            if field.token != Token::Ident {
                return self.unexpected("mismatched", field, "{'}', ',', '?', IDENTIFIER}");
            }
            let colon = self.peek();
            if self.accept(":").is_none() {
                return self.unexpected("mismatched", colon, "':'");
            }
            let value = self.expression()?;
            fields.push(Field {
                at: colon.at,
                optional,
                name: field.text.to_owned(),
                value,
            });
            if self.accept(",").is_none() {
                break;
            }
        }
        self.close("}", expected::MORE_ENTRIES)?;
        let depth = fields.iter().map(|field| field.value.depth).max().unwrap_or(0);
        self.built(at, Kind::Message { name, fields }, depth + 1)
    }

    /// What is given to a function, up to the closing parenthesis.
    pub(super) fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.accept(")").is_some() {
            return Ok(args);
        }
        self.operand(expected::ARGUMENT)?;
        loop {
            args.push(self.expression()?);
            if self.accept(",").is_none() {
                self.close(")", expected::IN_CALL)?;
                return Ok(args);
            }
        }
    }

    /// A call, or the macro of that name.
    pub(super) fn called(
        &mut self,
        at: usize,
        name: &str,
        target: Option<Expr>,
        args: Vec<Expr>,
    ) -> Parsed<Expr> {
        let (target, args) = match macros::expand(name, target, args, self.environment) {
            macros::Expanded::Kind(kind, depth) => return self.built(at, kind, depth + 1),
            macros::Expanded::Wrong(at, what) => return self.fail(at, what),
            macros::Expanded::NoMacro(target, args) => (target.map(Box::new), args),
        };
        let below = target.as_deref().into_iter().chain(&args);
        let depth = below.map(|expr| expr.depth).max().unwrap_or(0);
        let function = name.to_owned();
        self.built(
            at,
            Kind::Call {
                function,
                target,
                args,
            },
            depth + 1,
        )
    }

    fn list(&mut self, at: usize) -> Parsed<Expr> {
        let mut elements = Vec::new();
        if !self.is("]") && !self.is("?") && !self.is(",") {
            self.operand(expected::ELEMENT)?;
        }
        loop {
            // A comma may stand behind the last element.
            if self.is("]") {
                break;
            }
            if !elements.is_empty() && self.peek().token == Token::End {
                let end = self.peek();
                return self.missing("]", end);
            }
            let optional = self.accept("?").is_some();
            let value = self.expression()?;
            elements.push(Element { optional, value });
            if self.accept(",").is_none() {
                break;
            }
        }
        self.close("]", expected::MORE_ELEMENTS)?;
        let depth = elements
            .iter()
            .map(|element| element.value.depth)
            .max()
            .unwrap_or(0);
        self.built(at, Kind::List(elements), depth + 1)
    }

    fn map(&mut self, at: usize) -> Parsed<Expr> {
        let mut entries = Vec::new();
        if !self.is("}") && !self.is("?") && !self.is(",") {
            self.operand(expected::ENTRY)?;
        }
        loop {
            if self.is("}") {
                break;
            }
            if !entries.is_empty() && self.peek().token == Token::End {
                let end = self.peek();
                return self.missing("}", end);
            }
            let optional = self.accept("?").is_some();
            let key = self.expression()?;
            self.colon(expected::KEY)?;
            let value = self.expression()?;
            entries.push(Entry { optional, key, value });
            if self.accept(",").is_none() {
                break;
            }
        }
        self.close("}", expected::MORE_ENTRIES)?;
        let depth = entries
            .iter()
            .map(|entry| entry.key.depth.max(entry.value.depth))
            .max();
        self.built(at, Kind::Map(entries), depth.unwrap_or(0) + 1)
    }
}
