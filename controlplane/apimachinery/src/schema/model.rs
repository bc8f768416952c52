//! Definitions and fields as the tables describe them.

use serde_json::Value;

use crate::schema::defaulting::Rule;

/// Nesting beyond which objects are not followed: twice what the JSON parser lets through, and far
/// more than any kind has.
pub const MAX_DEPTH: usize = 256;

/// Place of a definition in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefinitionId(pub(crate) usize);

/// A named type.
#[derive(Debug)]
pub struct Definition {
    /// Full name, such as `io.k8s.api.core.v1.Pod`.
    pub name: Box<str>,
    /// What it consists of.
    pub body: Body,
    /// The kinds that it is the type of.
    pub kinds: Vec<GroupVersionKind>,
    /// Server-side apply treats the object as one value.
    pub atomic: bool,
    /// Defaults that depend on other fields.
    pub rules: &'static [Rule],
}

impl Definition {
    /// The name without its package.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// The name as Go prints it: `v1.Pod`.
    #[must_use]
    pub fn go_name(&self) -> &str {
        let start = self.name.rmatch_indices('.').nth(1).map_or(0, |(dot, _)| dot + 1);
        self.name.get(start..).unwrap_or(&self.name)
    }

    /// Its fields, sorted by name; none where it is no object.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match &self.body {
            Body::Object(fields) => fields,
            Body::Scalar(_) => &[],
        }
    }

    /// The field with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        let fields = self.fields();
        let place = fields.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        fields.get(place)
    }
}

/// What a definition consists of.
#[derive(Debug)]
pub enum Body {
    /// An object with these fields, sorted by name.
    Object(Vec<Field>),
    /// Something without fields.
    Scalar(Scalar),
}

/// A kind that a definition is the type of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupVersionKind {
    /// The group; empty for core.
    pub group: Box<str>,
    /// The version, such as `v1`.
    pub version: Box<str>,
    /// The kind, such as `Pod`.
    pub kind: Box<str>,
}

/// One field of an object.
#[derive(Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: Box<str>,
    /// The form of its values.
    pub shape: Shape,
    /// Whether the published schema asks for it.
    pub required: bool,
    /// What else is known of it.
    pub attributes: Attributes,
    /// What it is where nobody says.
    pub default: Option<DefaultValue>,
}

/// What a table says of a field beyond its type.
#[derive(Debug, Default)]
pub struct Attributes {
    /// `atomic`, `set` or `map`; a list without one is atomic.
    pub list_type: Option<Box<str>>,
    /// By which fields the elements of a `map` list are told apart.
    pub list_keys: Vec<Box<str>>,
    /// `atomic` or `granular`; a map or object without one is granular.
    pub map_type: Option<Box<str>>,
    /// By which field a strategic merge patch tells elements apart.
    pub merge_key: Option<Box<str>>,
    /// How a strategic merge patch treats the field: `merge`, `replace`, `retainKeys`.
    pub strategies: Vec<Box<str>>,
    /// The values that are allowed, where only some are.
    pub allowed: Vec<Box<str>>,
}

impl Attributes {
    /// Whether a strategic merge patch goes into the field instead of replacing it, said of a list.
    #[must_use]
    pub fn merges(&self) -> bool {
        self.has_strategy("merge")
    }

    /// Whether a strategic merge patch replaces the field as a whole, said of an object.
    #[must_use]
    pub fn replaces(&self) -> bool {
        self.has_strategy("replace")
    }

    /// Whether a patch should name all fields that stay, said of objects of which most exclude each other.
    #[must_use]
    pub fn retains_keys(&self) -> bool {
        self.has_strategy("retainKeys")
    }

    fn has_strategy(&self, wanted: &str) -> bool {
        self.strategies.iter().any(|strategy| **strategy == *wanted)
    }
}

/// A static default.
#[derive(Debug)]
pub struct DefaultValue {
    /// The value.
    pub value: Value,
    /// Whether `""` and `0` count as unset too: so it is where the Go field is no pointer.
    pub fills_zero: bool,
}

impl DefaultValue {
    /// What stands for an object whose fields have defaults of their own.
    pub(crate) fn empty_object() -> Self {
        Self {
            value: Value::Object(serde_json::Map::new()),
            fills_zero: true,
        }
    }
}

/// The form of a value.
#[derive(Debug)]
pub enum Shape {
    /// A value without known parts.
    Scalar(Scalar),
    /// A list; the form of its elements.
    List(Box<Shape>),
    /// A map; the form of its values.
    Map(Box<Shape>),
    /// What a definition says.
    Named(DefinitionId),
}

/// Values without known parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// Bytes, as base64.
    Byte,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// Any number.
    Double,
    /// True or false.
    Bool,
    /// RFC 3339, in seconds.
    Time,
    /// RFC 3339, with a fraction.
    MicroTime,
    /// An amount such as `100m`.
    Quantity,
    /// A whole number of 32 bits, or text.
    IntOrString,
    /// Any JSON.
    Any,
    /// An object with fields of its own making.
    Free,
}

impl Scalar {
    /// The scalar with this name in a table.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
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
    #[must_use]
    pub fn zero(self) -> Value {
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
pub enum Resolved<'a> {
    /// A value without known parts.
    Scalar(Scalar),
    /// A list; the form of its elements.
    List(&'a Shape),
    /// A map; the form of its values.
    Map(&'a Shape),
    /// An object with these fields.
    Object(&'a Definition),
}
