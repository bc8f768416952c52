//! Errors about one field of an object, printed as Kubernetes prints them.

use std::fmt;

use serde_json::Value;

/// What is wrong with a field; the machine-readable half of a [`FieldError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldErrorKind {
    /// The value refers to something that does not exist.
    NotFound,
    /// A value is needed and none is there.
    Required,
    /// A value that must be unique occurs twice.
    Duplicate,
    /// The value is malformed.
    Invalid,
    /// The value is none of the allowed ones.
    NotSupported,
    /// The value is well formed and not allowed here.
    Forbidden,
    /// The value is too long; it is not repeated in the message.
    TooLong,
    /// The value is too short.
    TooShort,
    /// A list has too many items.
    TooMany,
    /// A list has too few items.
    TooFew,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The server failed while looking at the field.
    Internal,
}

impl FieldErrorKind {
    /// The `reason` of a Status cause, such as `FieldValueRequired`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooShort => "FieldValueTooShort",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooShort => "Too short",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::Internal => "Internal error",
        }
    }

    const fn shows_value(self) -> bool {
        !matches!(
            self,
            Self::Required | Self::Forbidden | Self::TooLong | Self::TooShort | Self::Internal
        )
    }
}

/// Where a field is: `spec.containers[0].image`.
///
/// Cheap enough to build while validating: one short string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path(String);

impl Path {
    /// A path that starts at `root`, which may hold several segments already.
    #[must_use]
    pub fn new(root: &str) -> Self {
        Self(root.to_owned())
    }

    /// The member `name` of this field; dots in `name` start further members.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() {
            Self(name.to_owned())
        } else {
            Self(format!("{}.{name}", self.0))
        }
    }

    /// The item at `index` of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The entry `key` of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `Required value`, with `detail` when it is not empty.
    pub fn required(&self, detail: impl Into<String>) -> FieldError {
        self.error(FieldErrorKind::Required, Value::Null, detail)
    }

    /// `Invalid value: …: detail`.
    pub fn invalid(&self, bad: impl Into<Value>, detail: impl Into<String>) -> FieldError {
        self.error(FieldErrorKind::Invalid, bad.into(), detail)
    }

    /// `Invalid value: detail`, for a mistake that is no single value's.
    pub fn broken(&self, detail: impl Into<String>) -> FieldError {
        FieldError {
            shown: Shown::Nothing,
            ..self.error(FieldErrorKind::Invalid, Value::Null, detail)
        }
    }

    /// `Unsupported value: …: supported values: …`, with the values in the order given.
    pub fn not_supported(&self, bad: impl Into<Value>, supported: &[&str]) -> FieldError {
        let quoted: Vec<String> = supported.iter().map(|value| quote(value)).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        self.error(FieldErrorKind::NotSupported, bad.into(), detail)
    }

    /// `Duplicate value: …`.
    pub fn duplicate(&self, bad: impl Into<Value>) -> FieldError {
        self.error(FieldErrorKind::Duplicate, bad.into(), "")
    }

    /// `Not found: …`.
    pub fn not_found(&self, bad: impl Into<Value>) -> FieldError {
        self.error(FieldErrorKind::NotFound, bad.into(), "")
    }

    /// `Forbidden: detail`.
    pub fn forbidden(&self, detail: impl Into<String>) -> FieldError {
        self.error(FieldErrorKind::Forbidden, Value::Null, detail)
    }

    /// `Too long: may not be more than N bytes`.
    pub fn too_long(&self, max_bytes: usize) -> FieldError {
        let unit = if max_bytes == 1 { "byte" } else { "bytes" };
        self.error(
            FieldErrorKind::TooLong,
            Value::Null,
            format!("may not be more than {max_bytes} {unit}"),
        )
    }

    /// `Too many: N: must have at most M items`.
    pub fn too_many(&self, actual: usize, max: usize) -> FieldError {
        let unit = if max == 1 { "item" } else { "items" };
        self.error(
            FieldErrorKind::TooMany,
            actual.into(),
            format!("must have at most {max} {unit}"),
        )
    }

    /// `Invalid value: …: detail` for a value of the wrong JSON type.
    pub fn type_invalid(&self, bad: impl Into<Value>, detail: impl Into<String>) -> FieldError {
        self.error(FieldErrorKind::TypeInvalid, bad.into(), detail)
    }

    fn error(&self, kind: FieldErrorKind, bad_value: Value, detail: impl Into<String>) -> FieldError {
        FieldError {
            kind,
            path: self.0.clone(),
            bad_value,
            detail: detail.into(),
            shown: Shown::Value,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that is wrong with one field. Made by the methods of [`Path`].
///
/// Prints as Kubernetes does: `spec.containers[0].image: Required value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {}", self.body())]
pub struct FieldError {
    /// What kind of mistake it is.
    pub kind: FieldErrorKind,
    /// Where it is, as `spec.containers[0].image`.
    pub path: String,
    /// The offending value; null where the kind does not show one.
    pub bad_value: Value,
    /// What would be right; may be empty.
    pub detail: String,
    /// What the message shows of the value, where its kind shows one.
    pub shown: Shown,
}

/// What a message shows of an offending value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The value: texts quoted, the rest as JSON.
    Value,
    /// Nothing.
    Nothing,
    /// This text, where the value's own form is another one.
    As(String),
}

impl FieldError {
    /// The same, with the value shown as `form`.
    #[must_use]
    pub fn shown_as(self, form: impl Into<String>) -> Self {
        let shown = Shown::As(form.into());
        Self { shown, ..self }
    }

    /// The message without the path: `Required value`, `Invalid value: "x": must be …`.
    #[must_use]
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        let value = match &self.shown {
            Shown::Value => Some(shown(&self.bad_value)),
            Shown::As(form) => Some(form.clone()),
            Shown::Nothing => None,
        };
        if let Some(value) = value.filter(|_| self.kind.shows_value()) {
            text.push_str(": ");
            text.push_str(&value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

/// A value as Kubernetes shows it in messages: strings quoted, the rest as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}

/// Quotes `text` the way Go's `%q` does.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        push_quoted(&mut out, c);
    }
    out.push('"');
    out
}

fn push_quoted(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn field_errors_print_as_upstream_prints_them() {
        let image = Path::new("spec").child("containers").index(0).child("image");
        let cases = [
            (image.required(""), "spec.containers[0].image: Required value"),
            (
                image.required("must be set"),
                "spec.containers[0].image: Required value: must be set",
            ),
            (
                Path::new("spec.restartPolicy").not_supported("x", &["Always", "OnFailure", "Never"]),
                r#"spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never""#,
            ),
            (
                Path::new("a").invalid(0, "must be > 0"),
                "a: Invalid value: 0: must be > 0",
            ),
            (Path::new("a").invalid(true, "no"), "a: Invalid value: true: no"),
            (
                Path::new("a").invalid(json!({"b": [1]}), "no"),
                r#"a: Invalid value: {"b":[1]}: no"#,
            ),
            (
                Path::new("a").invalid(Value::Null, "no"),
                "a: Invalid value: null: no",
            ),
            (
                Path::new("a").invalid("say \"hi\"\n", "no"),
                r#"a: Invalid value: "say \"hi\"\n": no"#,
            ),
            (
                Path::new("a").index(1).duplicate("web"),
                r#"a[1]: Duplicate value: "web""#,
            ),
            (Path::new("a").not_found("data"), r#"a: Not found: "data""#),
            (Path::new("a").broken("no"), "a: Invalid value: no"),
            (
                Path::new("a")
                    .invalid(json!({"b": 1}), "no")
                    .shown_as("{\"B\":1}"),
                "a: Invalid value: {\"B\":1}: no",
            ),
            (
                Path::new("data").key("k").forbidden("immutable"),
                "data[k]: Forbidden: immutable",
            ),
            (
                Path::new("a").too_long(262_144),
                "a: Too long: may not be more than 262144 bytes",
            ),
            (
                Path::new("a").too_many(4, 3),
                "a: Too many: 4: must have at most 3 items",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn control_characters_are_quoted_as_go_quotes_them() {
        assert_eq!(quote("a\u{1}\u{7f}\u{85}é"), "\"a\\x01\\x7f\\u0085é\"");
    }
}
