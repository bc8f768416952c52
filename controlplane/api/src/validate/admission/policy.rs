//! Rules for admission policies and their bindings.
//!
//! Expressions are compiled: what they refer to must be declared, and their types must be those that are wanted.

use std::collections::BTreeSet;

use controlplane_cel::{Environment, RESERVED, Type};
use serde_json::Value;

use super::{
    FAILURE_POLICIES, MATCH_POLICIES, REINVOCATION_POLICIES, keeps_conditions, match_conditions, rules,
    variables,
};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{change, condition, expression, naming, workload};

const MAX_ANNOTATIONS: usize = 20;
const MAX_ANNOTATION: usize = 5 * 1024;
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
/// What a MutatingAdmissionPolicy may be for.
const CHANGEABLE: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
const PATCHES: [&str; 2] = ["ApplyConfiguration", "JSONPatch"];

/// What the expressions of a policy may refer to.
struct Scope<'a> {
    policy: &'a Value,
    /// What all see.
    environment: Environment,
}

impl<'a> Scope<'a> {
    fn of(policy: &'a Value) -> Self {
        let environment = variables::with_params(variables::request(), policy);
        Self { policy, environment }
    }

    /// With what the variables before it are.
    fn composed(&mut self) {
        if !read::list(self.policy, "variables").is_empty() {
            let environment = std::mem::take(&mut self.environment);
            self.environment = environment
                .with("variables", Type::named(variables::COMPOSED))
                .with_type(variables::COMPOSED, []);
        }
    }

    fn authorized(&self) -> Environment {
        variables::with_authorizer(self.environment.clone())
    }
}

/// What is wrong with a ValidatingAdmissionPolicy, which took the place of `old`.
pub(crate) fn validating(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (spec, path) = (object.get("spec").unwrap_or(&Value::Null), Path::new("spec"));
    let mut scope = Scope::of(spec);
    let mut errors = common(&mut scope, old, &path);
    let (validations, annotations) = (
        read::list(spec, "validations"),
        read::list(spec, "auditAnnotations"),
    );
    if validations.is_empty() && annotations.is_empty() {
        for field in ["validations", "auditAnnotations"] {
            let detail = "validations or auditAnnotations must contain at least one item";
            errors.push(path.child(field).required(detail));
        }
        return errors;
    }
    for (index, found) in validations.iter().enumerate() {
        errors.extend(validation(found, &scope, &path.child("validations").index(index)));
    }
    errors.extend(audit_annotations(
        meta::name(object),
        annotations,
        &scope,
        &path.child("auditAnnotations"),
    ));
    errors
}

/// What is wrong with a MutatingAdmissionPolicy, which took the place of `old`.
pub(crate) fn mutating(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (spec, path) = (object.get("spec").unwrap_or(&Value::Null), Path::new("spec"));
    let mut scope = Scope::of(spec);
    let mut errors = common(&mut scope, old, &path);
    errors.extend(unchangeable(object, "matchConstraints"));
    let mutations = read::list(spec, "mutations");
    if mutations.is_empty() {
        let detail = "mutations must contain at least one item";
        errors.push(path.child("mutations").required(detail));
    }
    for (index, found) in mutations.iter().enumerate() {
        errors.extend(mutation(found, &scope, &path.child("mutations").index(index)));
    }
    if read::text(spec, "reinvocationPolicy").is_empty() {
        errors.push(path.child("reinvocationPolicy").required(""));
    } else {
        errors.extend(naming::choice(
            spec,
            "reinvocationPolicy",
            &REINVOCATION_POLICIES,
            &path,
        ));
    }
    errors
}

/// What both kinds have; variables are in scope behind it.
fn common(scope: &mut Scope<'_>, old: Option<&Value>, path: &Path) -> Vec<FieldError> {
    let spec = scope.policy;
    let mut errors = needed(spec, "failurePolicy", &FAILURE_POLICIES, path);
    if let Some(kind) = spec.get("paramKind").filter(|kind| !kind.is_null()) {
        errors.extend(param_kind(kind, &path.child("paramKind")));
    }
    let at = path.child("matchConstraints");
    match spec.get("matchConstraints").filter(|found| !found.is_null()) {
        None => errors.push(at.required("")),
        Some(found) => {
            errors.extend(match_resources(found, &at));
            if read::list(found, "resourceRules").is_empty() {
                errors.push(at.child("resourceRules").required(""));
            }
        }
    }
    let kept = old
        .and_then(|old| old.get("spec"))
        .is_some_and(|old| keeps_conditions(spec, old) && !change::differs(spec, old, "paramKind"));
    if !kept {
        errors.extend(match_conditions(spec, &scope.authorized(), path));
    }
    scope.composed();
    for (index, found) in read::list(spec, "variables").iter().enumerate() {
        errors.extend(variable(found, scope, &path.child("variables").index(index)));
    }
    errors
}

fn needed(object: &Value, field: &str, known: &[&str], path: &Path) -> Vec<FieldError> {
    if read::present(object, field) {
        naming::choice(object, field, known, path).into_iter().collect()
    } else {
        vec![path.child(field).required("")]
    }
}

fn param_kind(kind: &Value, path: &Path) -> Vec<FieldError> {
    let (version, name) = (read::text(kind, "apiVersion"), read::text(kind, "kind"));
    let mut errors = Vec::new();
    let at = path.child("apiVersion");
    match version.split('/').collect::<Vec<_>>().as_slice() {
        [""] => errors.push(at.required("")),
        [version] => errors.extend(joined(names::dns_1035_label(version), version, &at)),
        [group, number] => {
            if !group.is_empty() {
                errors.extend(joined(names::dns_subdomain(group), group, &at));
            }
            if number.is_empty() {
                errors.push(at.invalid(version, "version must be specified"));
            } else {
                errors.extend(joined(names::dns_1035_label(number), number, &at));
            }
        }
        _ => errors.push(at.invalid(version, format!("unexpected GroupVersion string: {version}"))),
    }
    let at = path.child("kind");
    if name.is_empty() {
        errors.push(at.required(""));
    } else {
        let rules = names::dns_1035_label(&name.to_lowercase());
        if !rules.is_empty() {
            let detail = format!(
                "may have mixed case, but should otherwise match: {}",
                rules.join(",")
            );
            errors.push(at.invalid(name, detail));
        }
    }
    errors
}

fn joined(rules: Vec<String>, value: &str, path: &Path) -> Option<FieldError> {
    (!rules.is_empty()).then(|| path.invalid(value, rules.join(",")))
}

fn match_resources(found: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = needed(found, "matchPolicy", &MATCH_POLICIES, path);
    for field in ["namespaceSelector", "objectSelector"] {
        let path = path.child(field);
        match found.get(field).filter(|selector| !selector.is_null()) {
            None => errors.push(path.required("")),
            Some(selector) => errors.extend(workload::label_selector_errors(selector, &path)),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in read::list(found, field).iter().enumerate() {
            errors.extend(rules::named_rule(rule, &path.child(field).index(index)));
        }
    }
    errors
}

fn variable(variable: &Value, scope: &mut Scope<'_>, path: &Path) -> Vec<FieldError> {
    let name = read::text(variable, "name");
    let mut errors = Vec::new();
    if name.trim().is_empty() {
        errors.push(path.child("name").required("name is not specified"));
    } else if !is_identifier(name) {
        let detail = "must be a valid CEL identifier";
        errors.push(path.child("name").invalid(name, detail));
    }
    let (text, path) = (read::text(variable, "expression"), path.child("expression"));
    if text.trim().is_empty() {
        errors.push(path.required("expression is not specified"));
        return errors;
    }
    let (error, found) = expression::typed(text, &scope.authorized(), &[], &path);
    errors.extend(error);
    let seen = variables::seen(found);
    scope.environment.add_member(variables::COMPOSED, name, seen);
    errors
}

fn is_identifier(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digit = name.as_bytes().first().is_none_or(u8::is_ascii_digit);
    name.bytes().all(word) && !digit && !RESERVED.contains(&name)
}

fn validation(found: &Value, scope: &Scope<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = needed_expression(found, &scope.authorized(), &[Type::Bool], path)
        .into_iter()
        .collect();
    let blank = |text: &str| !text.is_empty() && text.trim().is_empty();
    let (words, at) = (
        read::text(found, "messageExpression"),
        path.child("messageExpression"),
    );
    if blank(words) {
        errors.push(at.invalid(words, "must be non-empty if specified"));
    } else if !words.is_empty() {
        errors.extend(expression::typed(words, &scope.environment, &[Type::Text], &at).0);
    }
    let message = read::text(found, "message");
    if blank(message) {
        let detail = "must be non-empty if specified";
        errors.push(path.child("message").invalid(message, detail));
    } else if message.trim().contains(['\n', '\r']) {
        let detail = "must not contain line breaks";
        errors.push(path.child("message").invalid(message, detail));
    }
    errors.extend(naming::choice(found, "reason", &REASONS, path));
    errors
}

/// What is wrong with the member `expression`, which must be there.
fn needed_expression(
    object: &Value,
    environment: &Environment,
    wanted: &[Type],
    path: &Path,
) -> Option<FieldError> {
    let (text, path) = (read::text(object, "expression"), path.child("expression"));
    if text.trim().is_empty() {
        return Some(path.required("expression is not specified"));
    }
    expression::typed(text, environment, wanted, &path).0
}

fn audit_annotations(name: &str, annotations: &[Value], scope: &Scope<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if annotations.len() > MAX_ANNOTATIONS {
        let detail = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        errors.push(path.invalid(annotations, detail));
    }
    let mut seen = BTreeSet::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let (path, key) = (path.index(index), read::text(annotation, "key"));
        let full = format!("{name}/{key}");
        errors.extend(naming::broken(names::qualified_name, &full, &path.child("key")));
        let at = path.child("valueExpression");
        let text = read::text(annotation, "valueExpression").trim();
        match text.len() {
            0 => errors.push(at.required("valueExpression is not specified")),
            length if length > MAX_ANNOTATION => {
                errors.push(at.required(format!("must not exceed {MAX_ANNOTATION} bytes in length")));
            }
            _ => {
                errors.extend(expression::typed(text, &scope.authorized(), &[Type::Text, Type::Null], &at).0)
            }
        }
        if !seen.insert(key) {
            errors.push(path.child("key").duplicate(key));
        }
    }
    errors
}

fn mutation(mutation: &Value, scope: &Scope<'_>, path: &Path) -> Vec<FieldError> {
    let kind = read::text(mutation, "patchType");
    let (own, other, wanted) = match kind {
        "" => return vec![path.child("patchType").required("")],
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Type::named("Object")),
        "JSONPatch" => (
            "jsonPatch",
            "applyConfiguration",
            Type::list(Type::named("JSONPatch")),
        ),
        _ => return vec![path.child("patchType").not_supported(kind, &PATCHES)],
    };
    let mut errors = Vec::new();
    match mutation.get(own).filter(|patch| !patch.is_null()) {
        None => errors.push(
            path.child(own)
                .required(format!("must be specified when patchType is {kind}")),
        ),
        Some(patch) => {
            let environment = scope.authorized().with_patches();
            let text = read::text(patch, "expression").trim();
            let path = path.child(own).child("expression");
            errors.extend(match text {
                "" => Some(path.required("")),
                text => expression::typed(text, &environment, &[wanted], &path).0,
            });
        }
    }
    if read::present(mutation, other) {
        let detail = format!("must not be specified when patchType is {kind}");
        errors.push(path.child(other).invalid(format!("{{{other}}}"), detail));
    }
    errors
}

/// Operations of the rules below `spec.<field>` in which nothing can be changed any more. Upstream's path names
/// no rule.
fn unchangeable(object: &Value, field: &str) -> Vec<FieldError> {
    let path = Path::new("spec").child(field).child("resourceRules.operations");
    let rules = read::list(object, &format!("spec.{field}.resourceRules")).iter();
    let operations = rules.flat_map(|rule| read::texts(rule, "operations"));
    let wrong = operations.filter(|operation| !CHANGEABLE.contains(operation));
    wrong
        .map(|operation| path.not_supported(operation, &CHANGEABLE))
        .collect()
}

/// Whether a binding says what is done about a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actions {
    /// It must.
    Needed,
    /// It has none.
    None,
}

/// What is wrong with a binding of a policy.
pub(crate) fn binding(object: &Value, actions: Actions) -> Vec<FieldError> {
    let (spec, path) = (object.get("spec").unwrap_or(&Value::Null), Path::new("spec"));
    let mut errors = naming::required(
        names::dns_subdomain,
        read::text(spec, "policyName"),
        &path.child("policyName"),
    );
    if let Some(reference) = spec.get("paramRef").filter(|reference| !reference.is_null()) {
        errors.extend(param_ref(reference, &path.child("paramRef")));
    }
    if let Some(found) = spec.get("matchResources").filter(|found| !found.is_null()) {
        errors.extend(match_resources(found, &path.child("matchResources")));
    }
    errors.extend(match actions {
        Actions::Needed => validation_actions(spec, &path.child("validationActions")),
        Actions::None => unchangeable(object, "matchResources"),
    });
    errors
}

fn param_ref(reference: &Value, path: &Path) -> Vec<FieldError> {
    let name = read::text(reference, "name");
    let selector = reference.get("selector").filter(|selector| !selector.is_null());
    let exclusive = "name and selector are mutually exclusive";
    let mut errors = Vec::new();
    if !name.is_empty() {
        errors.extend(naming::broken(names::path_segment, name, &path.child("name")));
        errors.extend(selector.map(|_| path.child("name").forbidden(exclusive)));
    }
    if let Some(selector) = selector {
        errors.extend(workload::label_selector_errors(selector, &path.child("selector")));
        if !name.is_empty() {
            errors.push(path.child("selector").forbidden(exclusive));
        }
    } else if name.is_empty() {
        errors.push(path.required("one of name or selector must be specified"));
    }
    match read::text(reference, "parameterNotFoundAction") {
        "" => errors.push(path.child("parameterNotFoundAction").required("")),
        "Deny" | "Allow" => {}
        other => errors.push(
            path.child("parameterNotFoundAction")
                .not_supported(other, &["Deny", "Allow"]),
        ),
    }
    errors
}

fn validation_actions(spec: &Value, path: &Path) -> Vec<FieldError> {
    let actions = read::texts(spec, "validationActions");
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, action) in actions.iter().enumerate() {
        if !ACTIONS.contains(action) {
            errors.push(path.index(index).not_supported(*action, &ACTIONS));
        }
        if !seen.insert(*action) {
            errors.push(path.index(index).duplicate(*action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                      API response and headers serves no purpose)";
        errors.push(path.invalid(actions, detail));
    }
    if seen.is_empty() {
        errors.push(path.required("at least one validation action is required"));
    }
    errors
}

/// What is wrong with a write of a ValidatingAdmissionPolicy's status.
pub(crate) fn status(object: &Value) -> Vec<FieldError> {
    let root = Path::new("status.typeChecking.expressionWarnings");
    let mut errors = Vec::new();
    let warnings = at(object, "status").map(|status| read::list(status, "typeChecking.expressionWarnings"));
    for (index, warning) in warnings.unwrap_or_default().iter().enumerate() {
        let path = root.index(index);
        for field in ["warning", "fieldRef"] {
            if read::text(warning, field).is_empty() {
                errors.push(path.child(field).required(""));
            }
        }
    }
    if let Some(status) = object.get("status") {
        errors.extend(condition::all(status, &Path::new("status.conditions")));
    }
    errors
}
