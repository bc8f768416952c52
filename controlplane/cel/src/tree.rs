//! An expression as a tree.

/// Levels of a tree, as cel-go bounds them.
pub(crate) const MAX_DEPTH: usize = 250;

/// A node with its place: that of its operator, of the parenthesis or the dot, as cel-go has it.
#[derive(Debug)]
pub(crate) struct Expr {
    /// Characters from the start.
    pub(crate) at: usize,
    /// Levels below, this one counted.
    pub(crate) depth: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    /// A text, where it is written without escapes.
    Text(Option<String>),
    Bytes,
    Ident(String),
    Select {
        operand: Box<Expr>,
        field: String,
        access: Access,
    },
    /// Operators are functions with names such as `_+_`.
    Call {
        function: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    List(Vec<Element>),
    Map(Vec<Entry>),
    Message {
        name: String,
        fields: Vec<Field>,
    },
    /// A macro that binds variables.
    Fold(Box<Fold>),
}

/// What is asked of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its value: `a.b`.
    Value,
    /// Its value where it is there: `a.?b`.
    Optional,
    /// Whether it is there: `has(a.b)`.
    Test,
}

/// An element of a list; `[?a]` leaves an absent one out.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) optional: bool,
    pub(crate) value: Expr,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) optional: bool,
    pub(crate) key: Expr,
    pub(crate) value: Expr,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) at: usize,
    pub(crate) optional: bool,
    pub(crate) name: String,
    pub(crate) value: Expr,
}

/// A macro such as `range.all(x, step)`.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) name: &'static str,
    /// What is gone through, or the value that is bound.
    pub(crate) range: Expr,
    pub(crate) variables: Vec<String>,
    /// Those that come through, where the macro has a filter beside its step.
    pub(crate) filter: Option<Expr>,
    pub(crate) step: Expr,
}
