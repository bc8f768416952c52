//! Pages of a proxied server, whose links are changed as they pass. Pure.
//!
//! Only start tags are looked at; everything else, and whatever is no HTML, passes byte for byte. A tag longer than
//! [`MAX_TAG`] passes, too: that is all that is ever held back.
//!
//! Source: apimachinery, `pkg/util/proxy/transport.go`, `rewriteHTML`.

use super::links::Links;

/// Longest tag that is looked at, in bytes.
const MAX_TAG: usize = 64 * 1024;

/// Attributes that hold links.
const ATTRIBUTES: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is no HTML.
const RAW: [&str; 10] = [
    "iframe",
    "noembed",
    "noframes",
    "noscript",
    "plaintext",
    "script",
    "style",
    "textarea",
    "title",
    "xmp",
];

/// Where in a page we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Text,
    Comment,
    /// An element of [`RAW`].
    Raw(&'static str),
}

/// A page as it passes.
#[derive(Debug)]
pub(super) struct Page {
    links: Links,
    inside: Inside,
    held: Vec<u8>,
}

impl Page {
    pub(super) fn new(links: Links) -> Self {
        Self {
            links,
            inside: Inside::Text,
            held: Vec::new(),
        }
    }

    /// What can be sent of the page with `piece`.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        let mut out = Vec::with_capacity(rest.len());
        while let Some(used) = self.step(rest, &mut out) {
            rest = rest.get(used..).unwrap_or_default();
        }
        if rest.len() > MAX_TAG {
            out.extend_from_slice(rest);
        } else {
            self.held = rest.to_vec();
        }
        out
    }

    /// What was held back, at the end of the page.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Passes on what is at the front of `rest` and tells how long it was; `None` where more must come first.
    fn step(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        if rest.is_empty() {
            return None;
        }
        match self.inside {
            Inside::Text => self.text(rest, out),
            Inside::Comment => self.until(b"-->", rest, out),
            Inside::Raw("plaintext") => Some(pass(rest, rest.len(), out)),
            Inside::Raw(name) => {
                let end = format!("</{name}");
                self.until(end.as_bytes(), rest, out)
            }
        }
    }

    fn text(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let start = rest.iter().position(|byte| *byte == b'<').unwrap_or(rest.len());
        if start > 0 {
            return Some(pass(rest, start, out));
        }
        match rest {
            [_, b'!', b'-', b'-', ..] => {
                self.inside = Inside::Comment;
                Some(pass(rest, 4, out))
            }
            [_] | [_, b'!'] | [_, b'!', b'-'] => None,
            [_, b'a'..=b'z' | b'A'..=b'Z', ..] => self.tag(rest, out),
            [_, b'!' | b'/' | b'?', ..] => {
                let end = rest.iter().position(|byte| *byte == b'>')?;
                Some(pass(rest, end.saturating_add(1), out))
            }
            _ => Some(pass(rest, 1, out)),
        }
    }

    /// Passes on all up to `end`; what may be its beginning waits.
    fn until(&mut self, end: &[u8], rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let found = rest
            .windows(end.len())
            .position(|window| window.eq_ignore_ascii_case(end));
        if let Some(at) = found {
            self.inside = Inside::Text;
            return Some(pass(rest, at.saturating_add(end.len()), out));
        }
        let keep = end.len().saturating_sub(1);
        let sure = rest.len().checked_sub(keep).filter(|sure| *sure > 0)?;
        Some(pass(rest, sure, out))
    }

    fn tag(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let tag = Tag::read(rest)?;
        let mut at = 0;
        for (name, value) in &tag.attributes {
            let link = rest
                .get(value.clone())
                .and_then(|value| std::str::from_utf8(value).ok());
            let (Some(link), true) = (link, holds_link(&tag.name, name)) else {
                continue;
            };
            out.extend_from_slice(rest.get(at..value.start).unwrap_or_default());
            out.extend_from_slice(self.links.rewrite(link.trim()).as_bytes());
            at = value.end;
        }
        out.extend_from_slice(rest.get(at..tag.end).unwrap_or_default());
        if let Some(raw) = RAW.iter().find(|raw| **raw == tag.name) {
            self.inside = Inside::Raw(raw);
        }
        Some(tag.end)
    }
}

fn pass(rest: &[u8], count: usize, out: &mut Vec<u8>) -> usize {
    let passed = rest.get(..count).unwrap_or(rest);
    out.extend_from_slice(passed);
    passed.len()
}

fn holds_link(tag: &str, attribute: &str) -> bool {
    ATTRIBUTES
        .iter()
        .any(|(name, attributes)| *name == tag && attributes.contains(&attribute))
}

/// A start tag.
#[derive(Debug, PartialEq, Eq)]
struct Tag {
    /// In small letters.
    name: String,
    /// Names in small letters, and where their values are.
    attributes: Vec<(String, std::ops::Range<usize>)>,
    end: usize,
}

impl Tag {
    /// Reads the tag at the front of `bytes`; `None` where its end is not there (HTML, §13.2.5 "Tokenization").
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor { bytes, at: 1 };
        let name = cursor.word(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
        let mut attributes = Vec::new();
        loop {
            cursor.skip(|byte| byte.is_ascii_whitespace() || byte == b'/');
            if cursor.peek()? == b'>' {
                let end = cursor.at.saturating_add(1);
                return Some(Self {
                    name,
                    attributes,
                    end,
                });
            }
            let name = cursor.word(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'='));
            cursor.skip(|byte| byte.is_ascii_whitespace());
            if cursor.peek()? == b'=' {
                cursor.at = cursor.at.saturating_add(1);
                cursor.skip(|byte| byte.is_ascii_whitespace());
                attributes.push((name, cursor.value()?));
            }
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self, what: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&what) {
            self.at = self.at.saturating_add(1);
        }
    }

    /// All up to a byte that ends it, in small letters. The first byte is part of it whatever it is: a stray equals
    /// sign begins a name, too.
    fn word(&mut self, ends: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        self.at = start.saturating_add(1);
        self.skip(|byte| !ends(byte));
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        String::from_utf8_lossy(word).to_ascii_lowercase()
    }

    /// The value here, without its quotes.
    fn value(&mut self) -> Option<std::ops::Range<usize>> {
        let quote = self.peek()?;
        if !matches!(quote, b'"' | b'\'') {
            let start = self.at;
            self.skip(|byte| !byte.is_ascii_whitespace() && byte != b'>');
            return self.peek().map(|_| start..self.at);
        }
        self.at = self.at.saturating_add(1);
        let start = self.at;
        self.skip(|byte| byte != quote);
        self.peek()?;
        let end = self.at;
        self.at = end.saturating_add(1);
        Some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page() -> Page {
        Page::new(Links {
            root: "/p".to_owned(),
            authority: "10.42.0.5:80".to_owned(),
            asked: "localhost".to_owned(),
        })
    }

    fn through(text: &str, piece: usize) -> String {
        let mut page = page();
        let mut out = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            out.extend(page.take(bytes));
        }
        out.extend(page.end());
        String::from_utf8(out).unwrap()
    }

    const TABLE: [(&str, &str); 15] = [
        ("<a href=\"/x\">y</a>", "<a href=\"/p/x\">y</a>"),
        ("<A HREF='/x' class=b>", "<A HREF='/p/x' class=b>"),
        ("<a href=/x>", "<a href=/p/x>"),
        ("<a href = \"/x\"/>", "<a href = \"/p/x\"/>"),
        (
            "<img src=/a longdesc='/b' alt='/c'>",
            "<img src=/p/a longdesc='/p/b' alt='/c'>",
        ),
        ("<p title='<a href=\"/x\">'>", "<p title='<a href=\"/x\">'>"),
        (
            "<!-- <a href=\"/x\"> --><base href=/>",
            "<!-- <a href=\"/x\"> --><base href=/p/>",
        ),
        (
            "<script src=/s>if (a<b) '<a href=\"/x\">'</script><a href=/y>",
            "<script src=/p/s>if (a<b) '<a href=\"/x\">'</script><a href=/p/y>",
        ),
        ("<style>a<b</STYLE><a href=/y>", "<style>a<b</STYLE><a href=/p/y>"),
        (
            "<!DOCTYPE html><html manifest=\"/m\">",
            "<!DOCTYPE html><html manifest=\"/p/m\">",
        ),
        ("a < b <3 <", "a < b <3 <"),
        (
            "<a href=\"http://example.org/x\">",
            "<a href=\"http://example.org/x\">",
        ),
        ("<a href", "<a href"),
        ("<a href=\"/x?a=1&amp;b=2\">", "<a href=\"/p/x?a=1&amp;b=2\">"),
        (
            "<a = href=\"/x\"><source src='/v'>",
            "<a = href=\"/p/x\"><source src='/p/v'>",
        ),
    ];

    #[test]
    fn links_of_tags_are_changed_and_nothing_else() {
        for (text, expected) in TABLE {
            for piece in 1..=text.len() {
                assert_eq!(through(text, piece), expected, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_tag_without_end_is_not_held_back_for_ever() {
        let mut page = page();
        let mut sent = 0;
        for _ in 0..100 {
            sent += page.take(&[b"<a x='", [b'y'; 10_000].as_slice()].concat()).len();
            assert!(page.held.len() <= MAX_TAG);
        }
        assert!(sent > 900_000);
    }

    proptest! {
        #[test]
        fn pages_without_links_pass_unchanged_however_they_are_cut(
            words in proptest::collection::vec(prop_oneof![
                Just("<"), Just(">"), Just("b"), Just(" "), Just("="), Just("'"), Just("\""), Just("/"), Just("!--"),
                Just("-->"), Just("<script>"), Just("</script>"), Just("<p class='/x'>"), Just("é"),
            ], 0..60),
            piece in 1_usize..20,
        ) {
            let text = words.concat();
            prop_assert_eq!(through(&text, piece), text);
        }
    }
}
