//! The types of an expression's parts, as cel-go's checker finds them.

mod calls;
mod folds;

use crate::environment::Environment;
use crate::error::Errors;
use crate::tree::{Access, Element, Entry, Expr, Field, Kind};
use crate::types::{Bindings, Type};

/// Levels of a type. Macros in a row can nest one as deep as they please, so without a bound the stack would end.
const MAX_TYPE: usize = 64;

/// Names of types, which are values, too.
const TYPES: [&str; 13] = [
    "bool",
    "bytes",
    "double",
    "duration",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "timestamp",
    "type",
    "uint",
    "optional_type",
];
const LONG_TYPES: [&str; 4] = [
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "net.IP",
    "net.CIDR",
];

/// The type of `tree`; what is wrong with it is added to `errors`.
pub(crate) fn check(tree: &Expr, environment: &Environment, errors: &mut Errors) -> Type {
    let mut checker = Checker {
        environment,
        bound: Vec::new(),
        unreadable: Vec::new(),
        errors,
    };
    let found = checker.expr(tree).settled();
    // As in cel-go, literals are looked at once the types are right.
    if checker.errors.is_empty() {
        for (at, what) in checker.unreadable {
            checker.errors.add(at, what);
        }
    }
    found
}

pub(crate) struct Checker<'a> {
    environment: &'a Environment,
    /// Variables that macros bind, innermost last.
    bound: Vec<(String, Type)>,
    /// Literals that cannot be read as what they are given for.
    unreadable: Vec<(usize, String)>,
    errors: &'a mut Errors,
}

impl Checker<'_> {
    fn wrong(&mut self, at: usize, what: impl Into<String>) -> Type {
        self.errors.add(at, what);
        Type::Error
    }

    /// The type of `expr`; one that is nested beyond reason is open.
    fn expr(&mut self, expr: &Expr) -> Type {
        let found = self.kind(expr);
        if found.depth() > MAX_TYPE {
            Type::Dyn
        } else {
            found
        }
    }

    fn kind(&mut self, expr: &Expr) -> Type {
        match &expr.kind {
            Kind::Null => Type::Null,
            Kind::Bool => Type::Bool,
            Kind::Int => Type::Int,
            Kind::Uint => Type::Uint,
            Kind::Double => Type::Double,
            Kind::Text(_) => Type::Text,
            Kind::Bytes => Type::Bytes,
            Kind::Ident(name) => match self.variable(name) {
                Some(kind) => kind,
                None => self.undeclared(expr.at, name),
            },
            Kind::Select {
                operand,
                field,
                access,
            } => self.select(expr, operand, field, *access),
            Kind::Call {
                function,
                target,
                args,
            } => self.call(expr.at, function, target.as_deref(), args),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Message { name, fields } => self.message(expr.at, name, fields),
            Kind::Fold(fold) => self.fold(expr.at, fold),
        }
    }

    fn undeclared(&mut self, at: usize, name: &str) -> Type {
        let name = name.trim_start_matches('.');
        self.wrong(at, format!("undeclared reference to '{name}' (in container '')"))
    }

    /// The type of a variable, innermost first; a leading dot names one that no macro has bound.
    fn variable(&self, name: &str) -> Option<Type> {
        let bound = self.bound.iter().rev().find(|(bound, _)| bound == name);
        if let Some((_, kind)) = bound {
            return Some(kind.clone());
        }
        let name = name.trim_start_matches('.');
        let declared = self.environment.variable(name).cloned();
        declared.or_else(|| (TYPES.contains(&name) || LONG_TYPES.contains(&name)).then_some(Type::Meta))
    }

    /// The dotted name that an expression spells.
    fn qualified(expr: &Expr) -> Option<String> {
        match &expr.kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select {
                operand,
                field,
                access: Access::Value,
            } => Some(format!("{}.{field}", Self::qualified(operand)?)),
            _ => None,
        }
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, access: Access) -> Type {
        let whole = Self::qualified(expr).filter(|name| !self.is_bound(name));
        if let Some(found) = whole.and_then(|name| self.variable(&name)) {
            return found;
        }
        let found = self.expr(operand);
        let (inner, optional) = match found {
            Type::Optional(inner) => (*inner, true),
            plain => (plain, access == Access::Optional),
        };
        let value = self.member(expr.at, &inner, field);
        match (access, value) {
            (_, Type::Error) => Type::Error,
            (Access::Test, _) => Type::Bool,
            (_, value) if optional => Type::Optional(Box::new(value)),
            (_, value) => value,
        }
    }

    /// Whether a macro has bound the variable with which a dotted name begins.
    fn is_bound(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or_default();
        self.bound.iter().any(|(bound, _)| bound == first)
    }

    fn member(&mut self, at: usize, of: &Type, field: &str) -> Type {
        match of {
            Type::Dyn => Type::Dyn,
            Type::Error => Type::Error,
            Type::Map(_, value) => (**value).clone(),
            Type::Named(name) if self.environment.knows(name) => match self.environment.member(name, field) {
                Some(kind) => kind,
                None => self.wrong(at, format!("undefined field '{field}'")),
            },
            other => self.wrong(at, format!("type '{other}' does not support field selection")),
        }
    }

    fn list(&mut self, elements: &[Element]) -> Type {
        let mut joined = None;
        for element in elements {
            let found = self.expr(&element.value);
            let found = self.present(element.optional, element.value.at, found);
            joined = Some(self.join(element.value.at, joined, found));
        }
        Type::list(joined.unwrap_or(Type::Free))
    }

    fn map(&mut self, entries: &[Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            let key = self.expr(&entry.key);
            // A key is a scalar, or else refused when it is evaluated: its type is not kept, lest types double in size.
            let key = if key.depth() > 1 { Type::Dyn } else { key };
            keys = Some(self.join(entry.key.at, keys, key));
            let value = self.expr(&entry.value);
            let value = self.present(entry.optional, entry.value.at, value);
            values = Some(self.join(entry.value.at, values, value));
        }
        let or_free = |kind: Option<Type>| Box::new(kind.unwrap_or(Type::Free));
        Type::Map(or_free(keys), or_free(values))
    }

    /// The type of an element: that within an optional value, where it may be left out.
    fn present(&mut self, optional: bool, at: usize, found: Type) -> Type {
        match (optional, found) {
            (false, found) => found,
            (true, Type::Optional(inner)) => *inner,
            (true, found) if found.is_open() => found,
            (true, found) => self.mismatch(at, &Type::Optional(Box::new(found.clone())), &found),
        }
    }

    fn mismatch(&mut self, at: usize, wanted: &Type, found: &Type) -> Type {
        self.wrong(at, format!("expected type '{wanted}' but found '{found}'"))
    }

    /// One type for all elements: literals are of one type.
    fn join(&mut self, at: usize, before: Option<Type>, found: Type) -> Type {
        let Some(before) = before else {
            return found;
        };
        if Bindings::default().fit(&before, &found) {
            return if found == Type::Dyn {
                found
            } else {
                before.merged(&found)
            };
        }
        if Bindings::default().fit(&found, &before) {
            return found;
        }
        self.mismatch(at, &before, &found);
        before
    }

    fn message(&mut self, at: usize, name: &str, fields: &[Field]) -> Type {
        let name = name.trim_start_matches('.');
        if !self.environment.knows(name) {
            self.undeclared(at, name);
            for field in fields {
                self.expr(&field.value);
            }
            return Type::Error;
        }
        for field in fields {
            let found = self.expr(&field.value);
            let found = self.present(field.optional, field.value.at, found);
            match self.environment.member(name, &field.name) {
                None => drop(self.wrong(field.at, format!("undefined field '{}'", field.name))),
                Some(wanted) if !Bindings::default().fit(&wanted, &found) => {
                    let what = format!(
                        "expected type of field '{}' is '{wanted}' but provided type is '{found}'",
                        field.name
                    );
                    self.wrong(field.at, what);
                }
                Some(_) => {}
            }
        }
        Type::named(name)
    }
}
