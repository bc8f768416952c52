//! The table of messages; its first lines describe the format.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Group and version whose kinds exist in every group, such as `DeleteOptions`.
const META: &str = "meta.k8s.io/v1";

/// A message of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageId(usize);

/// When a field counts as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// A pointer in Go: sent only when set, so its zero means something.
    WhenSent,
    /// Always sent; JSON leaves the zero out (`omitempty` in Go).
    UnlessZero,
    /// Always sent, and written in JSON whatever it is.
    Always,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Bytes,
    Flag,
    /// Of 32 or 64 bits, signed: alike on the wire.
    Integer,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// JSON, as bytes in a message of its own.
    Raw,
    /// A list of texts, as a message of its own.
    Names,
    Message(MessageId),
    List(Box<Shape>),
    /// From texts.
    Map(Box<Shape>),
}

/// A field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) number: u64,
    /// Name in JSON; none where the members belong to the object around it.
    pub(crate) name: Option<&'static str>,
    pub(crate) presence: Presence,
    pub(crate) shape: Shape,
}

/// All messages.
#[derive(Debug, Default)]
pub(crate) struct Table {
    messages: Vec<Vec<Field>>,
    kinds: HashMap<(&'static str, &'static str), MessageId>,
}

impl Table {
    /// The message of a kind; kinds that all groups share are found in each of them.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<MessageId> {
        let found = self.kinds.get(&(api_version, kind));
        found.or_else(|| self.kinds.get(&(META, kind))).copied()
    }

    /// A field of a message.
    pub(crate) fn field(&self, message: MessageId, number: u64) -> Option<&Field> {
        let fields = self.messages.get(message.0)?;
        let place = fields.binary_search_by_key(&number, |field| field.number).ok()?;
        fields.get(place)
    }

    /// A field of a message by its name in JSON, behind the fields that hold it where JSON has no such levels.
    pub(crate) fn place(&self, message: MessageId, name: &str) -> Option<(Vec<u64>, &Field)> {
        let fields = self.messages.get(message.0)?;
        if let Some(field) = fields.iter().find(|field| field.name == Some(name)) {
            return Some((Vec::new(), field));
        }
        fields.iter().find_map(|outer| match (outer.name, &outer.shape) {
            (None, Shape::Message(inner)) => {
                let (mut levels, field) = self.place(*inner, name)?;
                levels.insert(0, outer.number);
                Some((levels, field))
            }
            _ => None,
        })
    }
}

/// The lines of both tables.
const TEXT: &str = concat!(
    include_str!("../kubernetes.table"),
    include_str!("../by-hand.table")
);

/// The table of the built-in kinds.
pub(crate) fn builtin() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| parse(TEXT).unwrap_or_default());
    &TABLE
}

/// Reads the text of a table; `Err` is the first line that is not understood.
pub(crate) fn parse(text: &'static str) -> Result<Table, &'static str> {
    let names = names(text);
    let mut table = Table::default();
    let mut group = "";
    for line in lines(text) {
        if let Some(header) = header(line) {
            group = header;
        } else if let Some(line) = line.strip_prefix("  ") {
            let field = field(line, group, &names).ok_or(line)?;
            table.messages.last_mut().ok_or(line)?.push(field);
        } else {
            if let Some(kind) = line.strip_suffix(" @") {
                table.kinds.insert((group, kind), MessageId(table.messages.len()));
            }
            table.messages.push(Vec::new());
        }
    }
    for fields in &mut table.messages {
        fields.sort_by_key(|field| field.number);
    }
    Ok(table)
}

type Names = HashMap<(&'static str, &'static str), MessageId>;

/// All messages by group and name, collected before anything refers to them.
fn names(text: &'static str) -> Names {
    let mut names = HashMap::new();
    let mut group = "";
    for line in lines(text).filter(|line| !line.starts_with(' ')) {
        if let Some(header) = header(line) {
            group = header;
        } else {
            let id = MessageId(names.len());
            names.insert((group, line.trim_end_matches(" @")), id);
        }
    }
    names
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn header(line: &'static str) -> Option<&'static str> {
    line.strip_prefix('[')?.strip_suffix(']')
}

fn field(line: &'static str, group: &'static str, names: &Names) -> Option<Field> {
    let mut words = line.splitn(3, ' ');
    let number = words.next()?.parse().ok()?;
    let name = Some(words.next()?).filter(|name| *name != "-");
    let word = words.next()?;
    let (presence, word) = match word.split_at_checked(1)? {
        ("*", word) => (Presence::WhenSent, word),
        ("?", word) => (Presence::UnlessZero, word),
        _ => (Presence::Always, word),
    };
    let shape = shape(word, group, names)?;
    Some(Field {
        number,
        name,
        presence,
        shape,
    })
}

fn shape(word: &'static str, group: &'static str, names: &Names) -> Option<Shape> {
    let inside = |open, close| {
        word.strip_prefix(open)
            .and_then(|rest: &str| rest.strip_suffix(close))
    };
    if let Some(items) = inside('[', ']') {
        return Some(Shape::List(Box::new(shape(items, group, names)?)));
    }
    if let Some(values) = inside('{', '}') {
        return Some(Shape::Map(Box::new(shape(values, group, names)?)));
    }
    Some(match word {
        "string" => Shape::Text,
        "bytes" => Shape::Bytes,
        "bool" => Shape::Flag,
        "int32" | "int64" => Shape::Integer,
        "time" => Shape::Time,
        "microtime" => Shape::MicroTime,
        "quantity" => Shape::Quantity,
        "int-or-string" => Shape::IntOrString,
        "raw" => Shape::Raw,
        "names" => Shape::Names,
        message => {
            let key = message.rsplit_once('.').unwrap_or((group, message));
            Shape::Message(*names.get(&key)?)
        }
    })
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        let table = parse(TEXT).unwrap();
        assert!(table.kinds.len() > 50, "{}", table.kinds.len());
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        assert_eq!(
            parse("[v1]\nPod\n  1 spec *Absent\n").unwrap_err(),
            "1 spec *Absent"
        );
        assert_eq!(parse("  1 spec string\n").unwrap_err(), "1 spec string");
    }

    #[test]
    fn every_kind_that_is_served_has_its_message() {
        for resource in controlplane_api::builtin().iter() {
            let found = builtin().kind(&resource.api_version(), &resource.kind);
            assert!(found.is_some(), "{} {}", resource.api_version(), resource.kind);
        }
    }

    /// Lists are written item by item, in this place.
    #[test]
    fn every_kind_has_a_list_with_its_items_second() {
        let table = builtin();
        for resource in controlplane_api::builtin()
            .iter()
            .filter(|resource| !resource.transient)
        {
            let list = table.kind(&resource.api_version(), &resource.list_kind);
            let list = list.unwrap_or_else(|| panic!("{}", resource.list_kind));
            let names = [1, 2].map(|number| table.field(list, number).and_then(|field| field.name));
            assert_eq!(names, [Some("metadata"), Some("items")], "{}", resource.list_kind);
        }
    }

    #[test]
    fn options_of_a_delete_are_known_in_every_group() {
        for api_version in ["v1", "meta.k8s.io/v1", "apps/v1", "policy/v1"] {
            assert!(
                builtin().kind(api_version, "DeleteOptions").is_some(),
                "{api_version}"
            );
        }
    }
}
