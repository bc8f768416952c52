//! Lists of indexes: `1,3-5,7`.

/// How many indexes a list names, each below `completions` and above the one before.
///
/// # Errors
///
/// Upstream's words for what is wrong with the list.
pub(super) fn count(list: &str, completions: i64) -> Result<i64, String> {
    let all = intervals(list, completions)?;
    Ok(all.into_iter().map(|(first, last)| last - first + 1).sum())
}

/// The intervals that a list names, as [`count`].
pub(super) fn intervals(list: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    if list.is_empty() {
        return Ok(found);
    }
    for text in list.split(',') {
        let (first, last) = interval(text, completions)?;
        if let Some((_, before)) = found.last().filter(|(_, before)| *before >= first) {
            return Err(disorder(*before, first));
        }
        found.push((first, last));
    }
    Ok(found)
}

fn disorder(before: i64, after: i64) -> String {
    format!("non-increasing order, previous: {before}, current: {after}")
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [single] => {
            let index = index(single, completions)?;
            Ok((index, index))
        }
        [first, last] => {
            let (first, last) = (index(first, completions)?, index(last, completions)?);
            if first >= last {
                return Err(disorder(first, last));
            }
            Ok((first, last))
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by \
             '-'",
            crate::field::quote(text)
        )),
    }
}

fn index(text: &str, completions: i64) -> Result<i64, String> {
    let quoted = crate::field::quote(text);
    let index: i64 = text
        .parse()
        .map_err(|_| format!("cannot convert string to integer for index: {quoted}"))?;
    if index >= completions {
        return Err(format!("too large index: {quoted}"));
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_indexes_are_counted_or_refused_in_upstreams_words() {
        for (list, counted) in [
            ("", Ok(0)),
            ("0", Ok(1)),
            ("0,2-4,9", Ok(5)),
            ("10", Err("too large index: \"10\"")),
            ("a", Err("cannot convert string to integer for index: \"a\"")),
            ("3-2", Err("non-increasing order, previous: 3, current: 2")),
            ("1-3,3", Err("non-increasing order, previous: 3, current: 3")),
            (
                "1-2-3",
                Err(
                    "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts \
                     separated by '-'",
                ),
            ),
        ] {
            assert_eq!(count(list, 10), counted.map_err(str::to_owned), "{list}");
        }
    }
}
