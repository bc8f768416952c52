//! One definition as lines of the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::input::Schema;
use crate::table::split;

/// Types that the schemas describe too loosely or not at all, by what Kubernetes' decoder does with them.
const KNOWN: &[(&str, &str)] = &[
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        "any",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        "any",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        "any",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        "any",
    ),
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "free"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "microtime"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Patch", "free"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "free"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "int-or-string"),
];

/// Where a definition stands, which decides how it names others.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) package: &'a str,
    pub(crate) labels: &'a BTreeMap<String, String>,
}

/// Appends the lines of the definition `full`.
pub(crate) fn definition(out: &mut String, full: &str, schema: &Schema, scope: &Scope<'_>) -> Result<()> {
    let (_, name) = split(full);
    if let Some((_, known)) = KNOWN.iter().find(|(definition, _)| *definition == full) {
        writeln!(out, "{name} = {known}")?;
        return Ok(());
    }
    ensure!(
        schema.type_name() == Some("object"),
        "neither an object nor one of the known types"
    );
    writeln!(out, "{name}{}", attributes(schema)?)?;
    let mut kinds: Vec<_> = schema.kinds.iter().collect();
    kinds.sort();
    for kind in kinds {
        let separator = if kind.group.is_empty() { "" } else { "/" };
        writeln!(out, "  @ {}{separator}{} {}", kind.group, kind.version, kind.kind)?;
    }
    for (field, property) in &schema.properties {
        let mark = if schema.required.contains(field) { "!" } else { "" };
        let type_text = type_text(property, scope).with_context(|| format!("field {field}"))?;
        // The schemas' enumerations of apiVersion and kind only repeat the kinds.
        let is_identity = !schema.kinds.is_empty() && matches!(field.as_str(), "apiVersion" | "kind");
        let allowed = if is_identity {
            String::new()
        } else {
            enumeration(property)?
        };
        writeln!(
            out,
            "  {field}{mark}: {type_text}{}{allowed}{}",
            attributes(property)?,
            default(property)?
        )?;
    }
    Ok(())
}

/// The type of a field, of a list's elements or of a map's values.
fn type_text(schema: &Schema, scope: &Scope<'_>) -> Result<String> {
    if let Some(target) = schema.target() {
        let (package, name) = split(target);
        if package == scope.package {
            return Ok(name.to_owned());
        }
        let label = scope
            .labels
            .get(package)
            .with_context(|| format!("package {package} has no label"))?;
        return Ok(format!("{label}.{name}"));
    }
    let format = schema.format.as_deref();
    Ok(match (schema.type_name(), format) {
        (Some("array"), _) => {
            let items = schema.items.as_deref().context("a list of what?")?;
            format!("[{}]", type_text(items, scope)?)
        }
        (Some("object"), _) if !schema.properties.is_empty() => bail!("an object without a name"),
        (Some("object"), _) => match schema.values.as_deref() {
            Some(values) => format!("{{{}}}", type_text(values, scope)?),
            None => "free".to_owned(),
        },
        (Some("string"), None) => "string".to_owned(),
        (Some("string"), Some("byte")) => "byte".to_owned(),
        (Some("integer"), Some("int32")) => "int32".to_owned(),
        (Some("integer"), Some("int64") | None) => "int64".to_owned(),
        (Some("number"), Some("double") | None) => "double".to_owned(),
        (Some("boolean"), None) => "bool".to_owned(),
        (name, format) => bail!("type {name:?} with format {format:?} is not known"),
    })
}

/// What the schema says beyond its type, each attribute with a blank before it.
fn attributes(schema: &Schema) -> Result<String> {
    let mut out = String::new();
    let pairs = [
        ("list", schema.list_type.clone()),
        (
            "keys",
            Some(schema.list_keys.join(",")).filter(|keys| !keys.is_empty()),
        ),
        ("map", schema.map_type.clone()),
        ("merge", schema.merge_key.clone()),
        ("patch", schema.patch_strategy.clone()),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            ensure!(
                !value.contains(char::is_whitespace),
                "attribute {name} holds a blank: {value:?}"
            );
            write!(out, " {name}={value}")?;
        }
    }
    Ok(out)
}

fn enumeration(schema: &Schema) -> Result<String> {
    let values: Vec<&str> = schema.allowed.iter().filter_map(Value::as_str).collect();
    ensure!(
        values.iter().all(|value| !value.contains([',', ' '])),
        "an enumeration holds a comma or a blank: {values:?}"
    );
    Ok(if values.is_empty() {
        String::new()
    } else {
        format!(" enum={}", values.join(","))
    })
}

/// The default comes last, since JSON may hold blanks.
fn default(schema: &Schema) -> Result<String> {
    Ok(match &schema.default_value {
        Some(value) => format!(" default={}", serde_json::to_string(value)?),
        None => String::new(),
    })
}
