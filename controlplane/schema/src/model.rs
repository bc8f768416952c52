//! Definitions and fields as the tables describe them.

use serde_json::Value;

use crate::defaulting::Rule;

/// Nesting beyond which objects are not followed: twice what the JSON parser lets through, and far
/// more than any kind has.
pub(crate) const MAX_DEPTH: usize = 256;

/// Place of a definition in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DefinitionId(pub(crate) usize);

/// A named type.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Full name, such as `io.k8s.api.core.v1.Pod`.
    pub(crate) name: Box<str>,
    pub(crate) body: Body,
    pub(crate) kinds: Vec<GroupVersionKind>,
    /// Server-side apply treats the object as one value.
    pub(crate) atomic: bool,
    /// Defaults that depend on other fields.
    pub(crate) rules: &'static [Rule],
}

impl Definition {
    /// The name without its package.
    pub(crate) fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// The name as Go prints it: `v1.Pod`.
    pub(crate) fn go_name(&self) -> &str {
        let start = self.name.rmatch_indices('.').nth(1).map_or(0, |(dot, _)| dot + 1);
        self.name.get(start..).unwrap_or(&self.name)
    }

    pub(crate) fn fields(&self) -> &[Field] {
        match &self.body {
            Body::Object(fields) => fields,
            Body::Scalar(_) => &[],
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let fields = self.fields();
        let place = fields.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        fields.get(place)
    }
}

/// What a definition consists of.
#[derive(Debug)]
pub(crate) enum Body {
    /// An object with these fields, sorted by name.
    Object(Vec<Field>),
    /// Something without fields.
    Scalar(Scalar),
}

/// A kind that a definition is the type of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupVersionKind {
    pub(crate) group: Box<str>,
    pub(crate) version: Box<str>,
    pub(crate) kind: Box<str>,
}

/// One field of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    pub(crate) attributes: Attributes,
    pub(crate) default: Option<DefaultValue>,
}

/// What a table says of a field beyond its type.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) list_type: Option<Box<str>>,
    pub(crate) list_keys: Vec<Box<str>>,
    pub(crate) map_type: Option<Box<str>>,
    pub(crate) merge_key: Option<Box<str>>,
    pub(crate) strategies: Vec<Box<str>>,
    pub(crate) allowed: Vec<Box<str>>,
}

impl Attributes {
    /// Whether a strategic merge patch goes into the field instead of replacing it, said of a list.
    pub(crate) fn merges(&self) -> bool {
        self.has_strategy("merge")
    }

    /// Whether a strategic merge patch replaces the field as a whole, said of an object.
    pub(crate) fn replaces(&self) -> bool {
        self.has_strategy("replace")
    }

    fn has_strategy(&self, wanted: &str) -> bool {
        self.strategies.iter().any(|strategy| **strategy == *wanted)
    }
}

/// A static default.
#[derive(Debug)]
pub(crate) struct DefaultValue {
    pub(crate) value: Value,
    /// Whether `""` and `0` count as unset too: so it is where the Go field is no pointer.
    pub(crate) fills_zero: bool,
}

/// The form of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    Scalar(Scalar),
    List(Box<Shape>),
    Map(Box<Shape>),
    Named(DefinitionId),
}

/// Values without known parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    String,
    Byte,
    Int32,
    Int64,
    Double,
    Bool,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// Any JSON.
    Any,
    /// An object with fields of its own making.
    Free,
}

impl Scalar {
    /// The scalar with this name in a table.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "byte" => Self::Byte,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "double" => Self::Double,
            "bool" => Self::Bool,
            "time" => Self::Time,
            "microtime" => Self::MicroTime,
            "quantity" => Self::Quantity,
            "int-or-string" => Self::IntOrString,
            "any" => Self::Any,
            "free" => Self::Free,
            _ => return None,
        })
    }

    /// What Go's decoder makes of `null` in a list or map.
    pub(crate) fn zero(self) -> Value {
        match self {
            Self::String | Self::Byte => Value::from(""),
            Self::Int32 | Self::Int64 | Self::Double | Self::IntOrString => Value::from(0),
            Self::Bool => Value::from(false),
            Self::Quantity => Value::from("0"),
            Self::Time | Self::MicroTime | Self::Any | Self::Free => Value::Null,
        }
    }
}

/// A shape with its name looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resolved<'a> {
    Scalar(Scalar),
    List(&'a Shape),
    Map(&'a Shape),
    Object(&'a Definition),
}
