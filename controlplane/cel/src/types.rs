//! Types of expressions.

use std::collections::BTreeMap;
use std::fmt;

/// The type of an expression, shown as cel-go shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Known only when it is evaluated.
    Dyn,
    /// What an error left behind; fits everything, so that one mistake is told once.
    Error,
    /// Not told yet: the elements of `[]`. It becomes what it is put together with.
    Free,
    /// `null`.
    Null,
    /// `true` and `false`.
    Bool,
    /// Signed, 64 bits.
    Int,
    /// Unsigned, 64 bits.
    Uint,
    /// A floating point number.
    Double,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
    /// A span of time.
    Duration,
    /// A point in time.
    Timestamp,
    /// What `type(x)` gives.
    Meta,
    /// A list of one type.
    List(Box<Type>),
    /// Keys and values.
    Map(Box<Type>, Box<Type>),
    /// A value that may be absent.
    Optional(Box<Type>),
    /// A type with members, or one whose inside is not seen.
    Named(String),
    /// Stands for any type in a function's declaration, the same wherever it occurs in it.
    Param(char),
}

impl Type {
    /// A list of `element`.
    pub fn list(element: Type) -> Self {
        Self::List(Box::new(element))
    }

    /// A map from texts to `value`.
    pub fn map(value: Type) -> Self {
        Self::Map(Box::new(Self::Text), Box::new(value))
    }

    /// A type by its name.
    pub fn named(name: &str) -> Self {
        Self::Named(name.to_owned())
    }

    /// Reads what declarations of functions say, such as `map(string,A)`.
    pub(crate) fn read(text: &str) -> Self {
        if let Some((name, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            let parts: Vec<Type> = split(inner).into_iter().map(Self::read).collect();
            return match (name, <[Type; 2]>::try_from(parts)) {
                ("map", Ok([key, value])) => Self::Map(Box::new(key), Box::new(value)),
                ("list", Err(parts)) => Self::list(first(parts)),
                (_, Err(parts)) => Self::Optional(Box::new(first(parts))),
                (_, Ok(_)) => Self::Error,
            };
        }
        match text {
            "dyn" => Self::Dyn,
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::Text,
            "bytes" => Self::Bytes,
            "duration" => Self::Duration,
            "timestamp" => Self::Timestamp,
            "type" => Self::Meta,
            "A" => Self::Param('A'),
            "B" => Self::Param('B'),
            name => Self::named(name),
        }
    }

    /// Its whole name, as `type(x)` gives it: `null_type` where errors say `null`.
    pub fn name(&self) -> String {
        match self {
            Self::Null => "null_type".to_owned(),
            Self::Duration => "google.protobuf.Duration".to_owned(),
            Self::Timestamp => "google.protobuf.Timestamp".to_owned(),
            Self::List(element) => format!("list({})", element.name()),
            Self::Map(key, value) => format!("map({}, {})", key.name(), value.name()),
            Self::Optional(value) => format!("optional_type({})", value.name()),
            plain => plain.to_string(),
        }
    }

    /// What is known of one value that is of this and of another type, which fits it.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Free, found) | (found, Self::Free) => found.clone(),
            (Self::List(own), Self::List(other)) => Self::list(own.merged(other)),
            (Self::Optional(own), Self::Optional(other)) => Self::Optional(Box::new(own.merged(other))),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => Self::Map(
                Box::new(key.merged(other_key)),
                Box::new(value.merged(other_value)),
            ),
            (own, _) => own.clone(),
        }
    }

    /// The same, where nothing is left to be told.
    pub(crate) fn settled(self) -> Self {
        match self {
            Self::Free => Self::Dyn,
            Self::List(element) => Self::list(element.settled()),
            Self::Optional(value) => Self::Optional(Box::new(value.settled())),
            Self::Map(key, value) => Self::Map(Box::new(key.settled()), Box::new(value.settled())),
            plain => plain,
        }
    }

    /// Levels, this one counted.
    pub(crate) fn depth(&self) -> usize {
        1 + match self {
            Self::List(inner) | Self::Optional(inner) => inner.depth(),
            Self::Map(key, value) => key.depth().max(value.depth()),
            _ => 0,
        }
    }

    /// Whether nothing is known of it before it is evaluated.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error | Self::Free)
    }
}

fn first(parts: Vec<Type>) -> Type {
    parts.into_iter().next().unwrap_or(Type::Error)
}

/// What is between the commas that are in no parentheses.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let parts = text.split(move |letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    parts.filter(|part| !part.is_empty()).collect()
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Free => out.write_str("dyn"),
            Self::Error => out.write_str("!error!"),
            Self::Null => out.write_str("null"),
            Self::Bool => out.write_str("bool"),
            Self::Int => out.write_str("int"),
            Self::Uint => out.write_str("uint"),
            Self::Double => out.write_str("double"),
            Self::Text => out.write_str("string"),
            Self::Bytes => out.write_str("bytes"),
            Self::Duration => out.write_str("duration"),
            Self::Timestamp => out.write_str("timestamp"),
            Self::Meta => out.write_str("type"),
            Self::List(element) => write!(out, "list({element})"),
            Self::Map(key, value) => write!(out, "map({key}, {value})"),
            Self::Optional(value) => write!(out, "optional_type({value})"),
            Self::Named(name) => out.write_str(name),
            Self::Param(name) => write!(out, "{name}"),
        }
    }
}

/// What the parameters of a declaration stand for in one call.
#[derive(Debug, Default)]
pub(crate) struct Bindings(BTreeMap<char, Type>);

impl Bindings {
    /// Whether an argument of type `found` can be given where `wanted` is declared.
    pub(crate) fn fit(&mut self, wanted: &Type, found: &Type) -> bool {
        match (wanted, found) {
            (Type::Param(name), found) => self.bind(*name, found),
            (wanted, found) if wanted.is_open() || found.is_open() => true,
            (Type::List(wanted), Type::List(found)) | (Type::Optional(wanted), Type::Optional(found)) => {
                self.fit(wanted, found)
            }
            (Type::Map(key, value), Type::Map(found_key, found_value)) => {
                self.fit(key, found_key) && self.fit(value, found_value)
            }
            (Type::Named(_) | Type::Duration | Type::Timestamp, Type::Null) => true,
            (wanted, found) => wanted == found,
        }
    }

    fn bind(&mut self, name: char, found: &Type) -> bool {
        let kind = match self.0.get(&name).cloned() {
            None => found.clone(),
            Some(bound) if self.fit(&bound, found) => bound.merged(found),
            Some(bound) if self.fit(found, &bound) => found.merged(&bound),
            Some(_) => return false,
        };
        self.0.insert(name, kind);
        true
    }

    /// `declared` with its parameters filled in.
    pub(crate) fn fill(&self, declared: &Type) -> Type {
        match declared {
            Type::Param(name) => self.0.get(name).cloned().unwrap_or(Type::Free),
            Type::List(element) => Type::list(self.fill(element)),
            Type::Optional(value) => Type::Optional(Box::new(self.fill(value))),
            Type::Map(key, value) => Type::Map(Box::new(self.fill(key)), Box::new(self.fill(value))),
            plain => plain.clone(),
        }
    }
}
