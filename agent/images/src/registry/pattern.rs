//! Shell patterns of a single word: `*`, `?`, `[a-z]`, `[^x]`, `\x`, as Go's `path/filepath.Match` has them.

/// Whether `name` is what `pattern` describes; a malformed pattern describes nothing.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    of(&pattern, &name)
}

fn of(pattern: &[char], name: &[char]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // Where to go on when a try fails: one more character belongs to the last `*`.
    let mut retry: Option<(&[char], &[char])> = None;
    loop {
        if let ['*', rest @ ..] = pattern {
            pattern = rest;
            retry = Some((rest, name));
            continue;
        }
        match step(pattern, name) {
            Some((rest, left)) => (pattern, name) = (rest, left),
            None if pattern.is_empty() && name.is_empty() => return true,
            None => match retry {
                Some((after, [_, left @ ..])) => {
                    (pattern, name) = (after, left);
                    retry = Some((after, left));
                }
                Some((_, [])) | None => return false,
            },
        }
    }
}

/// What is left of both once the first character of `name` is matched.
fn step<'p, 'n>(pattern: &'p [char], name: &'n [char]) -> Option<(&'p [char], &'n [char])> {
    let (first, left) = name.split_first()?;
    match pattern {
        ['?', rest @ ..] => Some((rest, left)),
        ['[', rest @ ..] => class(rest, *first).map(|rest| (rest, left)),
        ['\\', wanted, rest @ ..] | [wanted, rest @ ..] if wanted == first => Some((rest, left)),
        _ => None,
    }
}

/// What follows a class, where `first` is in it.
fn class(rest: &[char], first: char) -> Option<&[char]> {
    let (negated, mut rest) = match rest {
        ['^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mut found, mut ranges) = (false, 0);
    loop {
        rest = match rest {
            [']', after @ ..] if ranges > 0 => return (found != negated).then_some(after),
            // Neither may stand for itself, nor may a class be empty.
            [']' | '-', ..] => return None,
            [low, '-', high, after @ ..] if *high != ']' => {
                found |= (*low..=*high).contains(&first);
                after
            }
            [only, after @ ..] => {
                found |= *only == first;
                after
            }
            [] => return None,
        };
        ranges += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_describe_what_gos_filepath_match_says() {
        let rows = [
            ("abc", "abc", true),
            ("*", "", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("[]a]", "]", false),
            ("[", "a", false),
            ("[^", "a", false),
            ("a[", "ab", false),
            ("", "a", false),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_pattern_of_many_stars_ends_in_time(name in "a{0,200}") {
            // Backtracking over every star would take 2^n steps.
            let pattern = "a*".repeat(50) + "b";
            proptest::prop_assert!(!matches(&pattern, &name));
        }
    }
}
