//! Macros that bind variables. Errors are those of the calls to which cel-go expands them.

use super::Checker;
use crate::tree::Fold;
use crate::types::Type;

impl Checker<'_> {
    pub(super) fn fold(&mut self, at: usize, fold: &Fold) -> Type {
        let range = self.expr(&fold.range);
        let kinds = match fold.name {
            "bind" => vec![range],
            "optMap" | "optFlatMap" => vec![self.inside(at, range)],
            _ => self.elements(fold, &range),
        };
        // A filter leaves elements as they are: values of a list, keys of a map.
        let first = kinds.first().cloned().unwrap_or(Type::Dyn);
        let bound = self.bound.len();
        self.bound.extend(fold.variables.iter().cloned().zip(kinds));
        let filter = fold.filter.as_ref().map(|filter| self.expr(filter));
        let step = self.expr(&fold.step);
        self.bound.truncate(bound);
        if let Some(filter) = filter {
            self.truth(at, &filter, "_?_:_", |filter| {
                vec![filter, Type::list(Type::Dyn), Type::list(Type::Dyn)]
            });
        }
        self.result(at, fold.name, first, step)
    }

    fn result(&mut self, at: usize, name: &str, first: Type, step: Type) -> Type {
        let pair = |step: Type| vec![Type::Bool, step];
        match name {
            "all" => self.truth(at, &step, "_&&_", pair),
            "exists" => self.truth(at, &step, "_||_", pair),
            "exists_one" | "existsOne" => {
                self.truth(at, &step, "_?_:_", |step| vec![step, Type::Int, Type::Int])
            }
            "filter" => {
                let range = Type::list(first);
                let list = range.clone();
                match self.truth(at, &step, "_?_:_", |step| vec![step, list.clone(), list]) {
                    Type::Error => Type::Error,
                    _ => range,
                }
            }
            "map" | "transformList" => Type::list(step),
            "transformMap" => Type::Map(Box::new(Type::Dyn), Box::new(step)),
            "transformMapEntry" => step,
            "optMap" => Type::Optional(Box::new(step)),
            _ => step,
        }
    }

    /// A step that has to say yes or no.
    fn truth(
        &mut self,
        at: usize,
        step: &Type,
        operator: &str,
        args: impl FnOnce(Type) -> Vec<Type>,
    ) -> Type {
        if step.is_open() || *step == Type::Bool {
            return if *step == Type::Error {
                Type::Error
            } else {
                Type::Bool
            };
        }
        self.no_overload(at, operator, false, &args(step.clone()))
    }

    /// The types of the variables that go through `range`.
    fn elements(&mut self, fold: &Fold, range: &Type) -> Vec<Type> {
        let two = fold.variables.len() > 1;
        match range {
            Type::List(element) if two => vec![Type::Int, (**element).clone()],
            Type::List(element) => vec![(**element).clone()],
            Type::Map(key, value) if two => vec![(**key).clone(), (**value).clone()],
            Type::Map(key, _) => vec![(**key).clone()],
            open if open.is_open() => vec![open.clone(); fold.variables.len()],
            other => {
                let what = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                vec![self.wrong(fold.range.at, what); fold.variables.len()]
            }
        }
    }

    fn inside(&mut self, at: usize, found: Type) -> Type {
        match found {
            Type::Optional(inner) => *inner,
            open if open.is_open() => open,
            other => self.no_overload(at, "hasValue", true, &[other]),
        }
    }
}
