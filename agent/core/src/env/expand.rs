//! `$(NAME)` in variables, commands and arguments.

/// `text` with every `$(NAME)` that `lookup` knows replaced; an unknown one stays, `$$` is a dollar.
///
/// Kubernetes, "Define Dependent Environment Variables".
#[must_use]
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            out.push_str(&lookup(name).unwrap_or_else(|| format!("$({name})")));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expanded(text: &str) -> String {
        expand(text, |name| (name == "A").then(|| "1".to_owned()))
    }

    #[test]
    fn known_names_are_replaced_and_unknown_ones_stay() {
        assert_eq!(expanded("a $(A) b$(A)$(B)"), "a 1 b1$(B)");
    }

    #[test]
    fn two_dollars_escape_a_reference() {
        assert_eq!(expanded("$$(A) $$$(A)"), "$(A) $1");
    }

    #[test]
    fn lone_and_open_dollars_stay() {
        assert_eq!(expanded("$ $A $(A"), "$ $A $(A");
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_is_untouched(text in "[^$]*") {
            prop_assert_eq!(expanded(&text), text);
        }
    }
}
