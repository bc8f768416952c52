//! An expression's tokens as a tree. Errors say what ANTLR, by which cel-go parses, says of the first mistake.

mod expected;
mod primary;

pub use primary::RESERVED;

use crate::environment::Environment;
use crate::error::Errors;
use crate::lex::{Lexeme, Token, lex};
use crate::tree::{Access, Expr, Kind, MAX_DEPTH};

/// The parse ends: why is among the errors.
pub(crate) struct Stop;

pub(crate) type Parsed<T> = Result<T, Stop>;

/// Operators of two sides, weakest first; `&&` and `||` are balanced, so they are not among them.
const LEVELS: [&[(&str, &str)]; 3] = [
    &[
        ("==", "_==_"),
        ("!=", "_!=_"),
        ("<=", "_<=_"),
        (">=", "_>=_"),
        ("<", "_<_"),
        (">", "_>_"),
        ("in", "@in"),
    ],
    &[("+", "_+_"), ("-", "_-_")],
    &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
];

/// The tree of `source`; none where `errors` say why.
pub(crate) fn parse(source: &str, environment: &Environment, errors: &mut Errors) -> Option<Expr> {
    let tokens = lex(source, errors);
    let mut parser = Parser {
        tokens,
        next: 0,
        depth: 0,
        environment,
        errors,
    };
    let tree = parser.expression().ok()?;
    parser.end().ok()?;
    Some(tree)
}

pub(crate) struct Parser<'a> {
    tokens: Vec<Lexeme<'a>>,
    next: usize,
    /// Expressions in brackets around this one.
    depth: usize,
    environment: &'a Environment,
    errors: &'a mut Errors,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Lexeme<'a> {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> Lexeme<'a> {
        let end = Lexeme {
            token: Token::End,
            text: "<EOF>",
            at: 0,
        };
        let last = self.tokens.last().copied().unwrap_or(end);
        self.tokens.get(self.next + count).copied().unwrap_or(last)
    }

    fn take(&mut self) -> Lexeme<'a> {
        let token = self.peek();
        self.next = (self.next + 1).min(self.tokens.len().saturating_sub(1));
        token
    }

    fn is(&self, sign: &str) -> bool {
        is(self.peek(), sign)
    }

    /// Takes `sign` where it is next.
    fn accept(&mut self, sign: &str) -> Option<Lexeme<'a>> {
        self.is(sign).then(|| self.take())
    }

    fn fail<T>(&mut self, at: usize, what: impl Into<String>) -> Parsed<T> {
        self.errors.add(at, what);
        Err(Stop)
    }

    /// A node, unless the tree grows too deep by it.
    fn built(&mut self, at: usize, kind: Kind, depth: usize) -> Parsed<Expr> {
        if depth > MAX_DEPTH {
            return self.too_deep(at);
        }
        Ok(Expr { at, depth, kind })
    }

    fn too_deep<T>(&mut self, at: usize) -> Parsed<T> {
        self.fail(at, format!("expression recursion limit exceeded: {MAX_DEPTH}"))
    }

    fn call(&mut self, at: usize, function: &str, args: Vec<Expr>) -> Parsed<Expr> {
        let depth = 1 + args.iter().map(|expr| expr.depth).max().unwrap_or(0);
        let kind = Kind::Call {
            function: function.to_owned(),
            target: None,
            args,
        };
        self.built(at, kind, depth)
    }

    pub(crate) fn expression(&mut self) -> Parsed<Expr> {
        // Each level takes eight calls of this parser; a tree's node takes one of the checker.
        if self.depth >= MAX_DEPTH / 2 {
            let at = self.peek().at;
            return self.too_deep(at);
        }
        self.depth += 1;
        let found = self.conditional();
        self.depth -= 1;
        found
    }

    fn conditional(&mut self) -> Parsed<Expr> {
        let condition = self.balanced("||", "_||_")?;
        let Some(sign) = self.accept("?") else {
            return Ok(condition);
        };
        let yes = self.balanced("||", "_||_")?;
        self.colon(expected::BRANCH)?;
        let no = self.expression()?;
        self.call(sign.at, "_?_:_", vec![condition, yes, no])
    }

    /// Terms joined by one operator, as a tree that is as flat as can be.
    fn balanced(&mut self, sign: &str, function: &str) -> Parsed<Expr> {
        let (mut terms, mut places) = (vec![self.term(sign)?], Vec::new());
        while let Some(found) = self.accept(sign) {
            places.push(found.at);
            terms.push(self.term(sign)?);
        }
        self.halves(terms, &places, function)
    }

    fn term(&mut self, sign: &str) -> Parsed<Expr> {
        if sign == "||" {
            self.balanced("&&", "_&&_")
        } else {
            self.binary(0)
        }
    }

    fn halves(&mut self, mut terms: Vec<Expr>, places: &[usize], function: &str) -> Parsed<Expr> {
        let middle = terms.len() / 2;
        let Some((before, [at, after @ ..])) =
            middle.checked_sub(1).and_then(|at| places.split_at_checked(at))
        else {
            return terms.pop().ok_or(Stop);
        };
        let right = terms.split_off(middle);
        let left = self.halves(terms, before, function)?;
        let right = self.halves(right, after, function)?;
        self.call(*at, function, vec![left, right])
    }

    fn binary(&mut self, level: usize) -> Parsed<Expr> {
        let Some(signs) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        while let Some((_, function)) = signs.iter().find(|(sign, _)| self.is(sign)) {
            let at = self.take().at;
            let right = self.binary(level + 1)?;
            left = self.call(at, function, vec![left, right])?;
        }
        Ok(left)
    }

    /// `!` and `-`, of which two undo each other.
    fn unary(&mut self) -> Parsed<Expr> {
        let Some((sign, function)) = [("!", "!_"), ("-", "-_")]
            .into_iter()
            .find(|(sign, _)| self.is(sign))
        else {
            return self.member();
        };
        let first = self.peek();
        if sign == "-"
            && self.ahead(1).at == first.at + 1
            && matches!(self.ahead(1).token, Token::Int | Token::Double)
        {
            self.take();
            return self.member();
        }
        let mut odd = false;
        while self.accept(sign).is_some() {
            odd = !odd;
        }
        if !self.starts_member(self.peek()) {
            return self.unary_error(sign);
        }
        let operand = self.member()?;
        if odd {
            self.call(first.at, function, vec![operand])
        } else {
            Ok(operand)
        }
    }

    /// Members, elements and calls behind a primary.
    fn member(&mut self) -> Parsed<Expr> {
        let mut found = self.primary()?;
        loop {
            let next = self.peek();
            if self.accept(".").is_some() {
                found = self.selected(found, next.at)?;
            } else if self.accept("[").is_some() {
                let function = if self.accept("?").is_some() {
                    "_[?_]"
                } else {
                    "_[_]"
                };
                self.operand(expected::INDEX)?;
                let index = self.expression()?;
                self.close("]", expected::IN_INDEX)?;
                found = self.call(next.at, function, vec![found, index])?;
            } else {
                return Ok(found);
            }
        }
    }

    /// What stands behind a dot.
    fn selected(&mut self, operand: Expr, at: usize) -> Parsed<Expr> {
        let access = if self.accept("?").is_some() {
            Access::Optional
        } else {
            Access::Value
        };
        let name = self.peek();
        if name.token != Token::Ident {
            let text = if name.token == Token::End { "" } else { name.text };
            return self.fail(
                name.at,
                format!("Syntax error: no viable alternative at input '.{text}'"),
            );
        }
        self.take();
        let open = self.peek();
        if access == Access::Value && self.accept("(").is_some() {
            let args = self.arguments()?;
            return self.called(open.at, name.text, Some(operand), args);
        }
        let depth = operand.depth + 1;
        let kind = Kind::Select {
            operand: Box::new(operand),
            field: name.text.to_owned(),
            access,
        };
        self.built(at, kind, depth)
    }
}

fn is(lexeme: Lexeme<'_>, sign: &str) -> bool {
    lexeme.token == Token::Sign && lexeme.text == sign
}
