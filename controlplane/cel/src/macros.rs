//! Calls that bind variables, or ask whether a member is there.

use crate::environment::Environment;
use crate::tree::{Access, Expr, Fold, Kind};

/// What a call becomes.
pub(crate) enum Expanded {
    /// A macro's node, with the levels below it.
    Kind(Kind, usize),
    /// A macro that is not used as it has to be.
    Wrong(usize, &'static str),
    /// An ordinary call.
    NoMacro(Option<Expr>, Vec<Expr>),
}

/// Macros behind a value, with how many variables they bind and how many expressions follow.
const FOLDS: [(&str, usize, usize); 19] = [
    ("all", 1, 1),
    ("exists", 1, 1),
    ("exists_one", 1, 1),
    ("existsOne", 1, 1),
    ("map", 1, 1),
    ("map", 1, 2),
    ("filter", 1, 1),
    ("all", 2, 1),
    ("exists", 2, 1),
    ("exists_one", 2, 1),
    ("existsOne", 2, 1),
    ("transformList", 2, 1),
    ("transformList", 2, 2),
    ("transformMap", 2, 1),
    ("transformMap", 2, 2),
    ("transformMapEntry", 2, 1),
    ("transformMapEntry", 2, 2),
    ("optMap", 1, 1),
    ("optFlatMap", 1, 1),
];

/// What becomes of `target.name(args)`, or of `name(args)`.
pub(crate) fn expand(
    name: &str,
    target: Option<Expr>,
    mut args: Vec<Expr>,
    environment: &Environment,
) -> Expanded {
    match target {
        None if name == "has" && args.len() == 1 => args.pop().map_or(Expanded::NoMacro(None, args), has),
        None => Expanded::NoMacro(None, args),
        Some(target)
            if name == "bind"
                && environment.has_bindings()
                && args.len() == 3
                && is_ident(&target, "cel") =>
        {
            let value = args.remove(1);
            fold("bind", value, args, 1)
        }
        Some(target) => {
            let counted = |(known, variables, steps): &&(&str, usize, usize)| {
                *known == name && variables + steps == args.len()
            };
            match FOLDS.iter().find(counted) {
                // `map(x, filter, step)` binds one variable; `all(x, y, step)` two.
                Some((known, variables, _)) => fold(known, target, args, *variables),
                None => Expanded::NoMacro(Some(target), args),
            }
        }
    }
}

fn has(argument: Expr) -> Expanded {
    let Expr { at, depth, kind } = argument;
    match kind {
        Kind::Select { operand, field, .. } => {
            let access = Access::Test;
            Expanded::Kind(
                Kind::Select {
                    operand,
                    field,
                    access,
                },
                depth,
            )
        }
        _ => Expanded::Wrong(at, "invalid argument to has() macro"),
    }
}

fn fold(name: &'static str, range: Expr, mut args: Vec<Expr>, variables: usize) -> Expanded {
    let steps = args.split_off(variables);
    let mut names = Vec::new();
    for argument in args {
        match argument.kind {
            Kind::Ident(name) if !name.starts_with('.') => names.push(name),
            _ => return Expanded::Wrong(argument.at, "argument must be a simple name"),
        }
    }
    let mut steps = steps;
    let (Some(step), filter) = (steps.pop(), steps.pop()) else {
        return Expanded::Wrong(range.at, "argument must be a simple name");
    };
    let depths = [Some(&range), Some(&step), filter.as_ref()];
    let depth = depths
        .into_iter()
        .flatten()
        .map(|expr| expr.depth)
        .max()
        .unwrap_or(0);
    let fold = Fold {
        name,
        range,
        variables: names,
        filter,
        step,
    };
    Expanded::Kind(Kind::Fold(Box::new(fold)), depth)
}

fn is_ident(expr: &Expr, name: &str) -> bool {
    matches!(&expr.kind, Kind::Ident(found) if found == name)
}
