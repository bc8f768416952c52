//! What the parser expected where it found something else, in ANTLR's words.

use super::{Parsed, Parser, is};
use crate::lex::{Lexeme, Token};

pub(super) const PRIMARY: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, \
                                  NUM_UINT, STRING, BYTES, IDENTIFIER}";
pub(super) const INDEX: &str = "{'[', '{', '(', '.', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, \
                                NUM_UINT, STRING, BYTES, IDENTIFIER}";
pub(super) const ARGUMENT: &str = "{'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, \
                                   NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
pub(super) const ELEMENT: &str = "{'[', ']', '{', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, \
                                  NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
pub(super) const ENTRY: &str = "{'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, \
                                NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
pub(super) const BRANCH: &str = "{'==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', '.', '-', ':', '+', '*', \
                                 '/', '%'}";
pub(super) const KEY: &str = "{'==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', '.', '-', '?', ':', '+', \
                              '*', '/', '%'}";
pub(super) const IN_PARENTHESES: &str = "{'==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', ')', '.', '-', \
                                         '?', '+', '*', '/', '%'}";
pub(super) const IN_CALL: &str = "{'==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', ')', '.', ',', '-', \
                                  '?', '+', '*', '/', '%'}";
pub(super) const IN_INDEX: &str = "{'==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', ']', '.', '-', '?', \
                                   '+', '*', '/', '%'}";
pub(super) const MORE_ELEMENTS: &str = "{']', ','}";
pub(super) const MORE_ENTRIES: &str = "{'}', ','}";
const AT_END: &str = "{<EOF>, '==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '[', '.', '-', '?', '+', '*', \
                      '/', '%'}";

impl<'a> Parser<'a> {
    /// Whether `lexeme` can begin what stands behind `!` and `-`.
    pub(super) fn starts_member(&self, lexeme: Lexeme<'a>) -> bool {
        match lexeme.token {
            Token::End => false,
            Token::Sign => matches!(lexeme.text, "[" | "{" | "(" | "." | "true" | "false" | "null"),
            _ => true,
        }
    }

    fn starts(&self, lexeme: Lexeme<'a>) -> bool {
        self.starts_member(lexeme) || is(lexeme, "-") || is(lexeme, "!")
    }

    /// Fails unless an expression can begin here.
    pub(super) fn operand(&mut self, expected: &str) -> Parsed<()> {
        let next = self.peek();
        if self.starts(next) {
            return Ok(());
        }
        let what = if self.starts(self.ahead(1)) && next.token != Token::End {
            "extraneous"
        } else {
            "mismatched"
        };
        self.unexpected(what, next, expected)
    }

    pub(super) fn unary_error<T>(&mut self, sign: &str) -> Parsed<T> {
        let next = self.peek();
        if sign == "!" {
            return self.unexpected("extraneous", next, PRIMARY);
        }
        let text = if next.token == Token::End {
            String::new()
        } else {
            format!(" {}", next.text)
        };
        let what = format!("Syntax error: no viable alternative at input '-{text}'");
        self.errors.add(next.at, what);
        self.unexpected("mismatched", next, PRIMARY)
    }

    pub(super) fn unexpected<T>(&mut self, what: &str, found: Lexeme<'a>, expected: &str) -> Parsed<T> {
        let text = found.text;
        self.fail(
            found.at,
            format!("Syntax error: {what} input '{text}' expecting {expected}"),
        )
    }

    /// Takes the bracket `sign`.
    pub(super) fn close(&mut self, sign: &str, expected: &str) -> Parsed<()> {
        let found = self.peek();
        if self.accept(sign).is_some() {
            return Ok(());
        }
        let list = matches!(expected, MORE_ELEMENTS | MORE_ENTRIES);
        if is(self.ahead(1), sign) && found.token != Token::End {
            let expected = if list {
                expected.to_owned()
            } else {
                format!("'{sign}'")
            };
            return self.unexpected("extraneous", found, &expected);
        }
        if found.token == Token::End && !list {
            return self.missing(sign, found);
        }
        self.unexpected("mismatched", found, expected)
    }

    pub(super) fn missing<T>(&mut self, sign: &str, found: Lexeme<'a>) -> Parsed<T> {
        let text = found.text;
        self.fail(found.at, format!("Syntax error: missing '{sign}' at '{text}'"))
    }

    /// Takes the colon between two expressions.
    pub(super) fn colon(&mut self, expected: &str) -> Parsed<()> {
        let found = self.peek();
        if self.accept(":").is_some() {
            return Ok(());
        }
        if self.starts(found) {
            return self.missing(":", found);
        }
        self.unexpected("mismatched", found, expected)
    }

    /// Fails where anything follows.
    pub(super) fn end(&mut self) -> Parsed<()> {
        let found = self.peek();
        if found.token == Token::End {
            return Ok(());
        }
        if self.ahead(1).token == Token::End {
            return self.unexpected("extraneous", found, "<EOF>");
        }
        self.unexpected("mismatched", found, AT_END)
    }
}
