//! Rules for FlowSchemas, and what they share with PriorityLevelConfigurations.

pub(crate) mod level;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::kinds::flow_defaults;
use crate::meta;
use crate::names;
use crate::read;
use crate::validate::naming;

const MAX_PRECEDENCE: i64 = 10_000;
const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
const SUBJECTS: [&str; 3] = ["Group", "ServiceAccount", "User"];
const VERBS: [&str; 9] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];
const ANY: &str = "*";

/// What is wrong with a FlowSchema.
pub(crate) fn schema(object: &Value) -> Vec<FieldError> {
    let (name, path) = (meta::name(object), Path::new("spec"));
    let mut errors = precedence(object, name, &path.child("matchingPrecedence"));
    if let Some(method) = object
        .pointer("/spec/distinguisherMethod")
        .filter(|method| !method.is_null())
    {
        errors.extend(naming::choice(
            method,
            "type",
            &METHODS,
            &path.child("distinguisherMethod"),
        ));
    }
    let level = read::text(object, "spec.priorityLevelConfiguration.name");
    let level_path = path.child("priorityLevelConfiguration.name");
    if level.is_empty() {
        errors.push(level_path.required("must reference a priority level"));
    } else {
        errors.extend(naming::broken(names::dns_subdomain, level, &level_path));
    }
    for (index, found) in read::list(object, "spec.rules").iter().enumerate() {
        errors.extend(rule(found, &path.child("rules").index(index)));
    }
    errors.extend(fixed(object, &flow_defaults::mandatory_schemas()));
    errors
}

fn precedence(object: &Value, name: &str, path: &Path) -> Vec<FieldError> {
    let precedence = read::count(object, "spec.matchingPrecedence");
    let rule = match precedence {
        ..=0 => "must be a positive value".to_owned(),
        1 if name != "exempt" => "only the schema named 'exempt' may have matchingPrecedence 1".to_owned(),
        number if number > MAX_PRECEDENCE => format!("must not be greater than {MAX_PRECEDENCE}"),
        _ => return Vec::new(),
    };
    vec![path.invalid(precedence, rule)]
}

/// The objects that a server cannot do without are as it made them.
pub(super) fn fixed(object: &Value, mandatory: &[Value]) -> Option<FieldError> {
    let name = meta::name(object);
    let wanted = mandatory.iter().find(|wanted| meta::name(wanted) == name)?;
    let spec = object.get("spec").cloned().unwrap_or_default();
    (Some(&spec) != wanted.get("spec"))
        .then(|| Path::new("spec").invalid(spec, format!("spec of '{name}' must equal the fixed value")))
}

fn rule(rule: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let subjects = read::list(rule, "subjects");
    if subjects.is_empty() {
        let detail = "subjects must contain at least one value";
        errors.push(path.child("subjects").required(detail));
    }
    for (index, found) in subjects.iter().enumerate() {
        errors.extend(subject(found, &path.child("subjects").index(index)));
    }
    let (resources, urls) = (
        read::list(rule, "resourceRules"),
        read::list(rule, "nonResourceRules"),
    );
    if resources.is_empty() && urls.is_empty() {
        errors.push(path.required("at least one of resourceRules and nonResourceRules has to be non-empty"));
    }
    for (index, found) in resources.iter().enumerate() {
        errors.extend(resource_rule(found, &path.child("resourceRules").index(index)));
    }
    for (index, found) in urls.iter().enumerate() {
        errors.extend(url_rule(found, &path.child("nonResourceRules").index(index)));
    }
    errors
}

fn subject(subject: &Value, path: &Path) -> Vec<FieldError> {
    let kind = read::text(subject, "kind");
    if !SUBJECTS.contains(&kind) {
        return vec![path.child("kind").not_supported(kind, &SUBJECTS)];
    }
    let mut errors = Vec::new();
    // The member that fits the kind first, the others in upstream's order.
    let members = [
        ("ServiceAccount", "serviceAccount"),
        ("User", "user"),
        ("Group", "group"),
    ];
    for (of, member) in members.iter().filter(|(of, _)| *of == kind) {
        let path = path.child(member);
        match subject.get(*member).filter(|found| !found.is_null()) {
            None => errors.push(path.required(format!("{member} is required when subject kind is '{of}'"))),
            Some(found) if kind == "ServiceAccount" => errors.extend(account(found, &path)),
            Some(found) if read::text(found, "name").is_empty() => {
                errors.push(path.child("name").required(""));
            }
            Some(_) => {}
        }
    }
    for (of, member) in members.iter().filter(|(of, _)| *of != kind) {
        if read::present(subject, member) {
            let detail = format!("{member} is forbidden when subject kind is not '{of}'");
            errors.push(path.child(member).forbidden(detail));
        }
    }
    errors
}

fn account(account: &Value, path: &Path) -> Vec<FieldError> {
    let (name, namespace) = (read::text(account, "name"), read::text(account, "namespace"));
    let mut errors = Vec::new();
    if name != ANY {
        errors.extend(naming::required(names::dns_subdomain, name, &path.child("name")));
    }
    let path = path.child("namespace");
    if namespace.is_empty() {
        errors.push(path.required("must specify namespace for service account"));
    } else {
        errors.extend(naming::broken(names::dns_label, namespace, &path));
    }
    errors
}

/// What is wrong with a list where `*` stands alone.
fn alone(values: &[&str], others: &str, path: &Path) -> Option<FieldError> {
    (values.len() > 1 && values.contains(&ANY)).then(|| {
        let detail = format!("if '*' is present, must not specify other {others}");
        path.invalid(values, detail)
    })
}

fn verbs(rule: &Value, path: &Path) -> Option<FieldError> {
    let (verbs, path) = (read::texts(rule, "verbs"), path.child("verbs"));
    if verbs.is_empty() {
        return Some(path.required("verbs must contain at least one value"));
    }
    if verbs.contains(&ANY) {
        return alone(&verbs, "verbs", &path);
    }
    let known = verbs.iter().all(|verb| VERBS.contains(verb));
    (!known).then(|| path.not_supported(verbs, &VERBS))
}

fn resource_rule(rule: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = verbs(rule, path).into_iter().collect();
    for (field, one, others) in [
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ] {
        let (values, path) = (read::texts(rule, field), path.child(field));
        if values.is_empty() {
            errors.push(path.required(format!("resource rules must supply at least one {one}")));
        }
        errors.extend(alone(&values, others, &path));
    }
    let (namespaces, path) = (read::texts(rule, "namespaces"), path.child("namespaces"));
    if namespaces.is_empty() && !read::flag(rule, "clusterScope") {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(path.required(detail));
    } else if namespaces.contains(&ANY) {
        errors.extend(alone(&namespaces, "namespaces", &path));
    } else {
        for (index, namespace) in namespaces.into_iter().enumerate() {
            let rules = names::dns_label(namespace).into_iter();
            errors.extend(rules.map(|rule| {
                let intro = "each member of this list must be '*' or a DNS-1123 label; ";
                path.index(index).invalid(namespace, format!("{intro}{rule}"))
            }));
        }
    }
    errors
}

fn url_rule(rule: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = verbs(rule, path).into_iter().collect();
    let (urls, path) = (
        read::texts(rule, "nonResourceURLs"),
        path.child("nonResourceURLs"),
    );
    if urls.is_empty() {
        errors.push(path.required("nonResourceURLs must contain at least one value"));
    } else if urls.contains(&ANY) {
        errors.extend(alone(&urls, "non-resource URLs", &path));
    } else {
        let urls = urls.into_iter().enumerate();
        errors.extend(urls.filter_map(|(index, url)| self::url(url, &path.index(index))));
    }
    errors
}

fn url(url: &str, path: &Path) -> Option<FieldError> {
    let stars = url.matches('*').count();
    let rule = match url {
        "" => "must not be empty",
        "/" => return None,
        _ if !url.starts_with('/') => "must start with slash",
        _ if url.contains(' ') => "must not contain white-space",
        _ if url.contains("//") => "must not contain double slash",
        _ if stars > 1 || stars == 1 && !url.ends_with("/*") => "wildcard can only do suffix matching",
        _ => return None,
    };
    Some(path.invalid(url, rule))
}

/// What is wrong with the conditions that the server reports.
pub(crate) fn conditions(object: &Value) -> Vec<FieldError> {
    let root = Path::new("status.conditions");
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, condition) in read::list(object, "status.conditions").iter().enumerate() {
        let (kind, path) = (read::text(condition, "type"), root.index(index).child("type"));
        if !seen.insert(kind) {
            errors.push(path.duplicate(kind));
        }
        if kind.is_empty() {
            errors.push(path.required("must not be empty"));
        }
    }
    errors
}
