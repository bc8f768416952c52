//! Rules for expressions, in the words of upstream's compiler.

use controlplane_cel::{Environment, Type, compile};

use crate::field::{FieldError, Path};

/// What is wrong with an expression that may evaluate to one of the types `wanted`, to any where none is named, and
/// the type to which it does.
pub(crate) fn typed(
    text: &str,
    environment: &Environment,
    wanted: &[Type],
    path: &Path,
) -> (Option<FieldError>, Type) {
    let found = match compile(text, environment) {
        Ok(found) => found,
        Err(shown) => {
            let error = path.invalid(text, format!("compilation failed: {shown}"));
            return (Some(error), Type::Dyn);
        }
    };
    if wanted.is_empty() || wanted.contains(&found) {
        return (None, found);
    }
    let names: Vec<String> = wanted.iter().map(Type::name).collect();
    let wanted = match names.as_slice() {
        [name] => name.clone(),
        names => format!("one of [{}]", names.join(" ")),
    };
    let detail = format!("must evaluate to {wanted} but got {}", found.name());
    (Some(path.invalid(text, detail)), found)
}

/// What is wrong with the expression by which a device is selected.
pub(crate) fn device(text: &str, path: &Path) -> Option<FieldError> {
    let values = |kind| Type::map(Type::map(kind));
    let members = [
        ("driver", Type::Text),
        ("attributes", values(Type::Dyn)),
        ("capacity", values(Type::named("kubernetes.Quantity"))),
        ("allowMultipleAllocations", Type::Bool),
    ];
    let environment = Environment::new()
        .with("device", Type::named("kubernetes.DRADevice"))
        .with_type("kubernetes.DRADevice", members)
        .with_bindings();
    match compile(text, &environment) {
        Ok(Type::Bool | Type::Dyn) => None,
        Ok(other) => {
            let detail = format!("must evaluate to bool or the unknown type, not {}", other.name());
            Some(path.invalid(text, detail))
        }
        Err(shown) => Some(path.invalid(text, format!("compilation failed: {shown}"))),
    }
}
