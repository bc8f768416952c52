//! The Common Expression Language as Kubernetes' API has it: expressions are parsed and their types checked, and
//! what is wrong is said in the words of cel-go, which upstream's messages quote.
//!
//! ```
//! use controlplane_cel::{Environment, Type, compile};
//!
//! let environment = Environment::new().with("object", Type::Dyn);
//! assert_eq!(compile("object.spec.replicas < 5", &environment), Ok(Type::Bool));
//! let refused = compile("objct.spec.replicas < 5", &environment).unwrap_err();
//! assert!(refused.starts_with("ERROR: <input>:1:1: undeclared reference to 'objct' (in container '')"));
//! ```
//!
//! Bounds: 100 000 characters an expression and 250 levels of a tree, as in cel-go, 125 of brackets, 64 of a type; so
//! neither parsing nor checking nor dropping a tree can exhaust the stack. The crates at hand (`cel`, `cel-parser`)
//! abort the process on deep input.
//!
//! Differences from cel-go: a syntax error ends the parse, where ANTLR goes on and may list more; regular expressions
//! are not looked into, nor spans and points in time that are written with escapes, and no cost is estimated.

mod check;
mod environment;
mod error;
mod functions;
mod lex;
mod literals;
mod macros;
mod parse;
mod tree;
mod types;

pub use environment::Environment;
pub use parse::RESERVED;
pub use types::Type;

use error::Errors;

/// Characters of an expression, as cel-go bounds them.
const MAX_LENGTH: usize = 100_000;

/// The type to which `source` evaluates.
///
/// # Errors
///
/// Everything that is wrong, as cel-go shows it: `ERROR: <input>:line:column: what`, with the line and a caret.
pub fn compile(source: &str, environment: &Environment) -> Result<Type, String> {
    let length = source.chars().count();
    if length > MAX_LENGTH {
        return Err(format!(
            "ERROR: :1:1: expression code point size exceeds limit: size: {length}, limit {MAX_LENGTH}"
        ));
    }
    let mut errors = Errors::default();
    let tree = parse::parse(source, environment, &mut errors);
    let found = match tree {
        Some(tree) if errors.is_empty() => check::check(&tree, environment, &mut errors),
        _ => Type::Error,
    };
    if errors.is_empty() {
        Ok(found)
    } else {
        Err(errors.shown(source))
    }
}

#[cfg(test)]
mod tests;
