//! The grammar of label selectors in text.

use super::SelectorError;
use super::label::{Operator, Requirement};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Comma,
    Open,
    Close,
    Not,
    Equals,
    NotEquals,
    Greater,
    Less,
    End,
}

impl<'a> Token<'a> {
    const fn text(self) -> &'a str {
        match self {
            Self::Word(word) => word,
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::Not => "!",
            Self::Equals => "=",
            Self::NotEquals => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::End => "",
        }
    }
}

/// A lexer with one token of look-ahead.
struct Parser<'a> {
    rest: &'a str,
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.scan().0
    }

    fn next(&mut self) -> Token<'a> {
        let (token, rest) = self.scan();
        self.rest = rest;
        token
    }

    fn scan(&self) -> (Token<'a>, &'a str) {
        const SYMBOLS: [(&str, Token<'static>); 9] = [
            ("==", Token::Equals),
            ("!=", Token::NotEquals),
            ("=", Token::Equals),
            ("!", Token::Not),
            ("(", Token::Open),
            (")", Token::Close),
            (",", Token::Comma),
            (">", Token::Greater),
            ("<", Token::Less),
        ];
        let text = self.rest.trim_start();
        for (symbol, token) in SYMBOLS {
            if let Some(rest) = text.strip_prefix(symbol) {
                return (token, rest);
            }
        }
        let end = text
            .find(|c: char| c.is_whitespace() || is_symbol(c))
            .unwrap_or(text.len());
        match text.split_at_checked(end) {
            Some((word, rest)) if !word.is_empty() => (Token::Word(word), rest),
            _ => (Token::End, ""),
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let negated = self.peek() == Token::Not;
        if negated {
            self.next();
        }
        let key = match self.next() {
            Token::Word(word) => word,
            other => return Err(unexpected(other, "!, identifier, or end of string")),
        };
        if negated {
            return Ok(Requirement::new(key, Operator::DoesNotExist, Vec::new())?);
        }
        let (operator, values) = match self.peek() {
            Token::End | Token::Comma => (Operator::Exists, Vec::new()),
            _ => self.comparison()?,
        };
        Ok(Requirement::new(key, operator, values)?)
    }

    fn comparison(&mut self) -> Result<(Operator, Vec<String>), SelectorError> {
        match self.next() {
            Token::Word("in") => Ok((Operator::In, self.set()?)),
            Token::Word("notin") => Ok((Operator::NotIn, self.set()?)),
            Token::Equals => Ok((Operator::In, vec![self.value()?])),
            Token::NotEquals => Ok((Operator::NotIn, vec![self.value()?])),
            Token::Greater => Ok((Operator::GreaterThan, vec![self.value()?])),
            Token::Less => Ok((Operator::LessThan, vec![self.value()?])),
            other => Err(unexpected(other, "in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            Token::Word(word) => {
                self.next();
                Ok(word.to_owned())
            }
            Token::Comma | Token::End => Ok(String::new()),
            other => Err(unexpected(other, "identifier")),
        }
    }

    fn set(&mut self) -> Result<Vec<String>, SelectorError> {
        match self.next() {
            Token::Open => {}
            other => return Err(unexpected(other, "(")),
        }
        let mut values = vec![self.set_value()];
        loop {
            match self.next() {
                Token::Comma => values.push(self.set_value()),
                Token::Close => return Ok(values),
                other => return Err(unexpected(other, "',', or ')'")),
            }
        }
    }

    /// An item of a set; nothing between two commas is the empty value.
    fn set_value(&mut self) -> String {
        match self.peek() {
            Token::Word(word) => {
                self.next();
                word.to_owned()
            }
            _ => String::new(),
        }
    }
}

fn unexpected(found: Token<'_>, expected: &'static str) -> SelectorError {
    SelectorError::Syntax {
        found: found.text().to_owned(),
        expected,
    }
}

/// Reads every requirement of `text`.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { rest: text };
    let mut requirements = Vec::new();
    if parser.peek() == Token::End {
        return Ok(requirements);
    }
    loop {
        requirements.push(parser.requirement()?);
        match parser.next() {
            Token::End => return Ok(requirements),
            Token::Comma => {}
            other => return Err(unexpected(other, "',' or 'end of string'")),
        }
    }
}
