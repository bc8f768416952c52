//! Calls of functions and operators.

use super::Checker;
use crate::functions::{Overload, overloads};
use crate::literals;
use crate::tree::{Access, Expr, Kind};
use crate::types::{Bindings, Type};

impl Checker<'_> {
    pub(super) fn call(&mut self, at: usize, function: &str, target: Option<&Expr>, args: &[Expr]) -> Type {
        let patches = self.environment.has_patches();
        let Some(target) = target else {
            let found = self.all(args);
            self.literal(function, args);
            return match overloads(function, patches) {
                Some(known) => self.resolve(at, function, known, false, &found),
                None => self.undeclared(at, function),
            };
        };
        // `optional.of(1)` calls the function of that name, not a member of a variable.
        let spelled = spelled(target).map(|name| format!("{name}.{function}"));
        if let Some((known, name)) = spelled.and_then(|name| Some((overloads(&name, patches)?, name))) {
            let found = self.all(args);
            return self.resolve(at, &name, known, false, &found);
        }
        let mut found = vec![self.expr(target)];
        found.extend(self.all(args));
        match overloads(function, patches) {
            Some(known) => self.resolve(at, function, known, true, &found),
            None => self.undeclared(at, function),
        }
    }

    /// Notes a text that is no span or point in time, where one is made of it.
    fn literal(&mut self, function: &str, args: &[Expr]) {
        let [
            Expr {
                at,
                kind: Kind::Text(Some(text)),
                ..
            },
        ] = args
        else {
            return;
        };
        let good = match function {
            "duration" => literals::is_duration(text),
            "timestamp" => literals::is_timestamp(text),
            _ => true,
        };
        if !good {
            self.unreadable
                .push((*at, format!("invalid {function} argument")));
        }
    }

    fn all(&mut self, args: &[Expr]) -> Vec<Type> {
        args.iter().map(|argument| self.expr(argument)).collect()
    }

    /// The result of the overloads that take `args`; open, where they differ in it.
    pub(super) fn resolve(
        &mut self,
        at: usize,
        name: &str,
        known: &[Overload],
        member: bool,
        args: &[Type],
    ) -> Type {
        if args.contains(&Type::Error) {
            return Type::Error;
        }
        let mut result: Option<Type> = None;
        for overload in known {
            let mut bindings = Bindings::default();
            let fits = overload.member == member
                && overload.args.len() == args.len()
                && overload
                    .args
                    .iter()
                    .zip(args)
                    .all(|(wanted, found)| bindings.fit(wanted, found));
            if !fits {
                continue;
            }
            let found = bindings.fill(&overload.result);
            result = match result {
                Some(before) if before != found => Some(Type::Dyn),
                _ => Some(found),
            };
        }
        result.unwrap_or_else(|| self.no_overload(at, name, member, args))
    }

    pub(super) fn no_overload(&mut self, at: usize, name: &str, member: bool, args: &[Type]) -> Type {
        let (target, args) = match args.split_first() {
            Some((target, args)) if member => (format!("{target}."), args),
            _ => (String::new(), args),
        };
        let args: Vec<String> = args.iter().map(Type::to_string).collect();
        let signature = format!("{target}({})", args.join(", "));
        self.wrong(
            at,
            format!("found no matching overload for '{name}' applied to '{signature}'"),
        )
    }
}

/// The dotted name that an expression spells.
fn spelled(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.trim_start_matches('.').to_owned()),
        Kind::Select {
            operand,
            field,
            access: Access::Value,
        } => Some(format!("{}.{field}", spelled(operand)?)),
        _ => None,
    }
}
