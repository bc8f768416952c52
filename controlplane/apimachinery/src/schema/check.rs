//! Structure: JSON types, formats, required fields.

use serde_json::Value;

use crate::schema::format;
use crate::schema::model::{Definition, MAX_DEPTH, Resolved, Scalar, Shape};
use crate::schema::path::{Path, Step};
use crate::schema::{Problem, ProblemKind, Schemas};

/// Most problems that are listed.
const LIMIT: usize = 100;

/// What Kubernetes' decoder would refuse.
pub(crate) fn structure(schemas: &Schemas, definition: &Definition, object: &Value) -> Vec<Problem> {
    let mut checker = Checker {
        schemas,
        path: Path::default(),
        owner: definition,
        found: Vec::new(),
    };
    checker.object(definition, object);
    checker.found
}

struct Checker<'a> {
    schemas: &'a Schemas,
    path: Path<'a>,
    /// The type whose field the walk is in.
    owner: &'a Definition,
    found: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn object(&mut self, definition: &'a Definition, value: &'a Value) {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Null => return,
            _ => return self.wrong_type(value, definition.go_name()),
        };
        let outer = std::mem::replace(&mut self.owner, definition);
        for (name, value) in fields {
            if let Some(field) = definition.field(name) {
                self.step(Step::Field(name), &field.shape, value);
            }
        }
        self.owner = outer;
    }

    fn step(&mut self, step: Step<'a>, shape: &'a Shape, value: &'a Value) {
        self.path.push(step);
        self.value(shape, value);
        self.path.pop();
    }

    fn value(&mut self, shape: &'a Shape, value: &'a Value) {
        if value.is_null() || self.found.len() >= LIMIT {
            return;
        }
        if self.path.depth() > MAX_DEPTH {
            return self.report(
                ProblemKind::TooDeep,
                format!("nested more than {MAX_DEPTH} levels deep"),
            );
        }
        match (self.schemas.resolve(shape), value) {
            (Resolved::Scalar(scalar), _) => self.scalar(scalar, value),
            (Resolved::Object(definition), _) => {
                self.object(definition, value);
            }
            (Resolved::List(items), Value::Array(elements)) => {
                for (place, element) in elements.iter().enumerate() {
                    self.step(Step::Index(place), items, element);
                }
            }
            (Resolved::Map(values), Value::Object(entries)) => {
                for (key, entry) in entries {
                    self.step(Step::Key(key), values, entry);
                }
            }
            (Resolved::List(_) | Resolved::Map(_), _) => self.wrong_type(value, &self.go_type(shape)),
        }
    }

    fn scalar(&mut self, scalar: Scalar, value: &Value) {
        let problem = match (scalar, value) {
            (Scalar::Any, _)
            | (Scalar::Free, Value::Object(_))
            | (Scalar::String, Value::String(_))
            | (Scalar::Bool, Value::Bool(_))
            | (Scalar::Double, Value::Number(_))
            | (Scalar::IntOrString, Value::String(_)) => None,
            (Scalar::Int32 | Scalar::IntOrString, Value::Number(number)) if format::is_int32(number) => None,
            (Scalar::Int64, Value::Number(number)) if number.is_i64() => None,
            (Scalar::Byte, Value::String(text)) => format::base64_problem(text),
            (Scalar::Time | Scalar::MicroTime, Value::String(text)) => format::time_problem(text),
            (Scalar::Quantity, Value::String(text)) => format::quantity_problem(text.trim()),
            (Scalar::Quantity, Value::Number(number)) => format::quantity_problem(&number.to_string()),
            _ => return self.wrong_type(value, go_scalar(scalar)),
        };
        if let Some(detail) = problem {
            self.report(ProblemKind::WrongFormat, detail);
        }
    }

    fn wrong_type(&mut self, value: &Value, go_type: &str) {
        let received = match value {
            Value::Number(number) if go_type.starts_with("int") => format!("number {number}"),
            _ => json_type(value).to_owned(),
        };
        let fields = self.path.fields();
        let place = if fields.is_empty() {
            "Go value".to_owned()
        } else {
            format!("Go struct field {}.{fields}", self.owner.short_name())
        };
        self.report(
            ProblemKind::WrongType,
            format!("json: cannot unmarshal {received} into {place} of type {go_type}"),
        );
    }

    fn report(&mut self, kind: ProblemKind, detail: String) {
        if self.found.len() < LIMIT {
            self.found.push(Problem {
                path: self.path.display(),
                kind,
                detail,
            });
        }
    }

    /// The type as Go prints it, such as `[]v1.Container`.
    fn go_type(&self, shape: &Shape) -> String {
        match shape {
            Shape::Scalar(scalar) => go_scalar(*scalar).to_owned(),
            Shape::List(items) => format!("[]{}", self.go_type(items)),
            Shape::Map(values) => format!("map[string]{}", self.go_type(values)),
            Shape::Named(id) => self
                .schemas
                .get(*id)
                .map_or("interface {}", Definition::go_name)
                .to_owned(),
        }
    }
}

fn go_scalar(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::String => "string",
        Scalar::Byte => "[]uint8",
        Scalar::Int32 | Scalar::IntOrString => "int32",
        Scalar::Int64 => "int64",
        Scalar::Double => "float64",
        Scalar::Bool => "bool",
        Scalar::Time => "v1.Time",
        Scalar::MicroTime => "v1.MicroTime",
        Scalar::Quantity => "resource.Quantity",
        Scalar::Any => "interface {}",
        Scalar::Free => "map[string]interface {}",
    }
}

/// The JSON type of `value` as Go names it.
pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The required fields that are not there.
pub(crate) fn missing(schemas: &Schemas, definition: &Definition, object: &Value) -> Vec<Problem> {
    let mut seeker = Seeker {
        schemas,
        path: Path::default(),
        found: Vec::new(),
    };
    seeker.object(definition, object);
    seeker.found
}

struct Seeker<'a> {
    schemas: &'a Schemas,
    path: Path<'a>,
    found: Vec<Problem>,
}

impl<'a> Seeker<'a> {
    fn object(&mut self, definition: &'a Definition, value: &'a Value) {
        let Value::Object(fields) = value else { return };
        for field in definition.fields() {
            let is_status = self.path.depth() == 0 && *field.name == *"status";
            match fields.get(&*field.name) {
                _ if is_status => {}
                Some(value) if !value.is_null() => self.step(Step::Field(&field.name), &field.shape, value),
                _ if field.required && self.found.len() < LIMIT => self.report(&field.name),
                _ => {}
            }
        }
    }

    fn report(&mut self, name: &'a str) {
        self.path.push(Step::Field(name));
        let path = self.path.display();
        self.found.push(Problem {
            path,
            kind: ProblemKind::Missing,
            detail: "Required value".to_owned(),
        });
        self.path.pop();
    }

    fn step(&mut self, step: Step<'a>, shape: &'a Shape, value: &'a Value) {
        if self.path.depth() > MAX_DEPTH {
            return;
        }
        self.path.push(step);
        match (self.schemas.resolve(shape), value) {
            (Resolved::Object(definition), _) => self.object(definition, value),
            (Resolved::List(items), Value::Array(elements)) => {
                for (place, element) in elements.iter().enumerate() {
                    self.step(Step::Index(place), items, element);
                }
            }
            (Resolved::Map(values), Value::Object(entries)) => {
                for (key, entry) in entries {
                    self.step(Step::Key(key), values, entry);
                }
            }
            (Resolved::Scalar(_) | Resolved::List(_) | Resolved::Map(_), _) => {}
        }
        self.path.pop();
    }
}
