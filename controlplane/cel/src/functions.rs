//! The functions that every expression in Kubernetes has: those of the language, of cel-go's extensions for texts,
//! sets and optional values, and of Kubernetes' own libraries.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::types::{Type, split};

/// One way to call a function.
#[derive(Debug)]
pub(crate) struct Overload {
    /// Whether the first argument stands before a dot.
    pub(crate) member: bool,
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
}

/// A line is a name, arguments in parentheses with a target before a dot, and the result.
const DECLARED: &str = include_str!("functions.txt");

/// Those for changes that a policy makes.
const PATCHES: &str = "jsonpatch.escapeKey (string) string";

static FUNCTIONS: LazyLock<BTreeMap<&'static str, Vec<Overload>>> = LazyLock::new(|| read(DECLARED));
static PATCH_FUNCTIONS: LazyLock<BTreeMap<&'static str, Vec<Overload>>> = LazyLock::new(|| read(PATCHES));

/// The ways to call `name`; none where nothing is called so.
pub(crate) fn overloads(name: &str, patches: bool) -> Option<&'static [Overload]> {
    let own = patches.then(|| PATCH_FUNCTIONS.get(name)).flatten();
    own.or_else(|| FUNCTIONS.get(name)).map(Vec::as_slice)
}

fn read(text: &'static str) -> BTreeMap<&'static str, Vec<Overload>> {
    let mut functions: BTreeMap<&str, Vec<Overload>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (Some(name), Some(signature), Some(result)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        functions
            .entry(name)
            .or_default()
            .push(overload(signature, result));
    }
    functions
}

fn overload(signature: &str, result: &str) -> Overload {
    let (target, args) = match signature.split_once(".(") {
        Some((target, args)) => (Some(target), args),
        None => (None, signature.trim_start_matches('(')),
    };
    let args = split(args.strip_suffix(')').unwrap_or(args));
    let args = target.into_iter().chain(args);
    Overload {
        member: target.is_some(),
        args: args.map(Type::read).collect(),
        result: Type::read(result),
    }
}
