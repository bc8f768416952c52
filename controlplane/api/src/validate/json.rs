//! JSON within fields, and why it is none, in the words of Go's `encoding/json`.

use serde_json::Value;

/// Brackets within brackets, as Go bounds them.
const MAX_DEPTH: usize = 10_000;

/// The value that `text` is.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| fault(text.as_bytes()).unwrap_or_else(|| error.to_string()))
}

/// Why `text` is no JSON; none where it is.
pub(crate) fn fault(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { text, at: 0 };
    let found = scanner.document();
    match found {
        Ok(()) => None,
        Err(Fault::End) => Some("unexpected end of JSON input".to_owned()),
        Err(Fault::Deep) => Some("exceeded max depth".to_owned()),
        Err(Fault::Character(wanted)) => {
            let byte = text.get(scanner.at).copied().unwrap_or_default();
            Some(format!("invalid character {} {wanted}", shown(byte)))
        }
    }
}

/// A byte as Go's `strconv.Quote` has it, in single quotes.
fn shown(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => format!("'{}'", char::from(byte).escape_default()),
    }
}

enum Fault {
    End,
    Deep,
    /// The byte at hand does not fit: where, in Go's words.
    Character(&'static str),
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<(), Fault> {
        // Open brackets, and whether they are those of an object.
        let mut open: Vec<bool> = Vec::new();
        loop {
            self.value(&mut open)?;
            loop {
                let after = match open.last() {
                    None => return self.end(),
                    Some(true) => "after object key:value pair",
                    Some(false) => "after array element",
                };
                let object = open.last() == Some(&true);
                match self.next()? {
                    b',' => {
                        self.at += 1;
                        if object {
                            self.key("looking for beginning of object key string")?;
                        }
                        break;
                    }
                    b'}' if object => drop(open.pop()),
                    b']' if !object => drop(open.pop()),
                    _ => return Err(Fault::Character(after)),
                }
                self.at += 1;
            }
        }
    }

    /// A scalar, an empty bracket, or brackets up to the first scalar in them.
    fn value(&mut self, open: &mut Vec<bool>) -> Result<(), Fault> {
        loop {
            let first = self.next()?;
            match first {
                b'{' | b'[' => {
                    self.at += 1;
                    if self.next()? == if first == b'{' { b'}' } else { b']' } {
                        self.at += 1;
                        return Ok(());
                    }
                    open.push(first == b'{');
                    if open.len() > MAX_DEPTH {
                        return Err(Fault::Deep);
                    }
                    if first == b'{' {
                        self.key("looking for beginning of object key string")?;
                    }
                }
                b'"' => return self.string(),
                b'-' | b'0'..=b'9' => return self.number(),
                b't' => {
                    return self.word(&[
                        (b'r', "in literal true (expecting 'r')"),
                        (b'u', "in literal true (expecting 'u')"),
                        (b'e', "in literal true (expecting 'e')"),
                    ]);
                }
                b'f' => {
                    return self.word(&[
                        (b'a', "in literal false (expecting 'a')"),
                        (b'l', "in literal false (expecting 'l')"),
                        (b's', "in literal false (expecting 's')"),
                        (b'e', "in literal false (expecting 'e')"),
                    ]);
                }
                b'n' => {
                    return self.word(&[
                        (b'u', "in literal null (expecting 'u')"),
                        (b'l', "in literal null (expecting 'l')"),
                        (b'l', "in literal null (expecting 'l')"),
                    ]);
                }
                _ => return Err(Fault::Character("looking for beginning of value")),
            }
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        match self.next() {
            Err(_) => Ok(()),
            Ok(_) => Err(Fault::Character("after top-level value")),
        }
    }

    fn byte(&self) -> Result<u8, Fault> {
        self.text.get(self.at).copied().ok_or(Fault::End)
    }

    /// The next byte that is no space.
    fn next(&mut self) -> Result<u8, Fault> {
        while matches!(self.byte()?, b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
        self.byte()
    }

    fn key(&mut self, wanted: &'static str) -> Result<(), Fault> {
        if self.next()? != b'"' {
            return Err(Fault::Character(wanted));
        }
        self.string()?;
        if self.next()? != b':' {
            return Err(Fault::Character("after object key"));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, rest: &[(u8, &'static str)]) -> Result<(), Fault> {
        self.at += 1;
        for (byte, wanted) in rest {
            if self.byte()? != *byte {
                return Err(Fault::Character(wanted));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    match self.byte()? {
                        b'u' => self.hex()?,
                        b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                        _ => return Err(Fault::Character("in string escape code")),
                    }
                }
                ..0x20 => return Err(Fault::Character("in string literal")),
                _ => {}
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(())
    }

    fn hex(&mut self) -> Result<(), Fault> {
        for _ in 0..4 {
            self.at += 1;
            if !self.byte()?.is_ascii_hexdigit() {
                return Err(Fault::Character("in \\u hexadecimal character escape"));
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.byte()? == b'-' {
            self.at += 1;
        }
        match self.byte()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(Fault::Character("in numeric literal")),
        }
        if self.byte().ok() == Some(b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.byte(), Ok(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte()?, b'+' | b'-') {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn some_digits(&mut self, wanted: &'static str) -> Result<(), Fault> {
        if !self.byte()?.is_ascii_digit() {
            return Err(Fault::Character(wanted));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.byte().is_ok_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_told_in_gos_words() {
        let cases = [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            (
                "{x",
                "invalid character 'x' looking for beginning of object key string",
            ),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1}", "invalid character '}' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("trux", "invalid character 'x' in literal true (expecting 'e')"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            (
                "1.x",
                "invalid character 'x' after decimal point in numeric literal",
            ),
            ("-", "unexpected end of JSON input"),
            ("01", "invalid character '1' after top-level value"),
            (
                "{\"a\":1,}",
                "invalid character '}' looking for beginning of object key string",
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(fault(text.as_bytes()).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(fault(&vec![b'['; 20_000]).as_deref(), Some("exceeded max depth"));
    }

    proptest::proptest! {
        #[test]
        fn a_fault_is_found_where_serde_finds_one(text in "[\\[\\]{}:,\"a1 .eE+-]{0,12}|(true|null|\\{\"a\":|\\}|,|1|\\[|\\]){0,8}") {
            let good = serde_json::from_str::<Value>(&text);
            // serde_json bounds numbers, Go does so later.
            if good.as_ref().err().is_none_or(|error| !error.to_string().contains("number out of range")) {
                proptest::prop_assert_eq!(good.is_ok(), fault(text.as_bytes()).is_none(), "{}", text);
            }
        }
    }
}
