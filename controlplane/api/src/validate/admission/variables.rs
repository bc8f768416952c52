//! What an expression that judges a request may refer to.

use controlplane_cel::{Environment, Type};
use serde_json::Value;

use crate::read;

/// The type of `variables`, by which a policy's expressions reach those before them.
pub(super) const COMPOSED: &str = "kubernetes.variables";

const REQUEST: &str = "kubernetes.AdmissionRequest";
const GROUP_KIND: &str = "kubernetes.GroupVersionKind";
const GROUP_RESOURCE: &str = "kubernetes.GroupVersionResource";
const USER: &str = "kubernetes.UserInfo";
const NAMESPACE: &str = "kubernetes.Namespace";
const NAMESPACE_META: &str = "kubernetes.NamespaceMetadata";
const NAMESPACE_SPEC: &str = "kubernetes.NamespaceSpec";
const NAMESPACE_STATUS: &str = "kubernetes.NamespaceStatus";
const NAMESPACE_CONDITION: &str = "kubernetes.NamespaceCondition";

/// The request, what it is about, and where.
pub(super) fn request() -> Environment {
    let environment = Environment::new()
        .with("object", Type::Dyn)
        .with("oldObject", Type::Dyn)
        .with("request", Type::named(REQUEST))
        .with("namespaceObject", Type::named(NAMESPACE))
        .with_type(GROUP_KIND, texts(["group", "version", "kind"]))
        .with_type(GROUP_RESOURCE, texts(["group", "version", "resource"]))
        .with_type(
            USER,
            [
                ("username", Type::Text),
                ("uid", Type::Text),
                ("groups", Type::list(Type::Text)),
                ("extra", Type::map(Type::list(Type::Text))),
            ],
        )
        .with_type(
            REQUEST,
            [
                ("kind", Type::named(GROUP_KIND)),
                ("resource", Type::named(GROUP_RESOURCE)),
                ("subResource", Type::Text),
                ("requestKind", Type::named(GROUP_KIND)),
                ("requestResource", Type::named(GROUP_RESOURCE)),
                ("requestSubResource", Type::Text),
                ("name", Type::Text),
                ("namespace", Type::Text),
                ("operation", Type::Text),
                ("userInfo", Type::named(USER)),
                ("dryRun", Type::Bool),
                ("options", Type::Dyn),
            ],
        );
    namespace(environment)
}

fn texts<const COUNT: usize>(fields: [&'static str; COUNT]) -> [(&'static str, Type); COUNT] {
    fields.map(|field| (field, Type::Text))
}

fn namespace(environment: Environment) -> Environment {
    environment
        .with_type(
            NAMESPACE,
            [
                ("metadata", Type::named(NAMESPACE_META)),
                ("spec", Type::named(NAMESPACE_SPEC)),
                ("status", Type::named(NAMESPACE_STATUS)),
            ],
        )
        .with_type(NAMESPACE_SPEC, [("finalizers", Type::list(Type::Text))])
        .with_type(
            NAMESPACE_STATUS,
            [
                ("conditions", Type::list(Type::named(NAMESPACE_CONDITION))),
                ("phase", Type::Text),
            ],
        )
        .with_type(
            NAMESPACE_CONDITION,
            [
                ("status", Type::Text),
                ("type", Type::Text),
                ("lastTransitionTime", Type::Timestamp),
                ("message", Type::Text),
                ("reason", Type::Text),
            ],
        )
        .with_type(
            NAMESPACE_META,
            [
                ("name", Type::Text),
                ("generateName", Type::Text),
                ("namespace", Type::Text),
                ("labels", Type::map(Type::Text)),
                ("annotations", Type::map(Type::Text)),
                ("UID", Type::Text),
                ("creationTimestamp", Type::Timestamp),
                ("deletionGracePeriodSeconds", Type::Int),
                ("deletionTimestamp", Type::Timestamp),
                ("generation", Type::Int),
                ("resourceVersion", Type::Text),
                ("finalizers", Type::list(Type::Text)),
            ],
        )
}

/// With what says who may do what.
pub(super) fn with_authorizer(environment: Environment) -> Environment {
    let kind = |name: &str| Type::named(&format!("kubernetes.authorization.{name}"));
    environment
        .with("authorizer", kind("Authorizer"))
        .with("authorizer.requestResource", kind("ResourceCheck"))
}

/// With a policy's parameters, where it has some.
pub(super) fn with_params(environment: Environment, policy: &Value) -> Environment {
    if read::present(policy, "paramKind") {
        environment.with("params", Type::Dyn)
    } else {
        environment
    }
}

/// What a later expression sees of a variable: types whose inside cannot be seen are open.
pub(super) fn seen(found: Type) -> Type {
    match found {
        Type::Named(_) | Type::Optional(_) | Type::Meta => Type::Dyn,
        Type::List(element) => Type::list(seen(*element)),
        Type::Map(key, value) => Type::Map(Box::new(seen(*key)), Box::new(seen(*value))),
        plain => plain,
    }
}
