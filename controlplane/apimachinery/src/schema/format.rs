//! The formats of strings and numbers that Kubernetes' decoder itself checks.

use serde_json::Number;

/// Whether `number` is an integer of 32 bits.
pub(crate) fn is_int32(number: &Number) -> bool {
    number.as_i64().is_some_and(|value| i32::try_from(value).is_ok())
}

/// Why `text` is no quantity, in upstream's words.
pub(crate) fn quantity_problem(text: &str) -> Option<String> {
    const FORM: &str =
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    const SUFFIX: &str = "unable to parse quantity's suffix";
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (digits, suffix) = unsigned.split_at(end);
    let has_digit = digits.contains(|c: char| c.is_ascii_digit());
    if !has_digit || digits.matches('.').count() > 1 {
        return Some(FORM.to_owned());
    }
    let exponent = |rest: &str| {
        let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let known = match suffix {
        "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E" => true,
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => true,
        _ => suffix.strip_prefix(['e', 'E']).is_some_and(exponent),
    };
    if known {
        return None;
    }
    let is_form = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let is_form = is_form.is_empty() || exponent(is_form);
    Some(if is_form { SUFFIX } else { FORM }.to_owned())
}

/// Why `text` is no time of RFC 3339, in upstream's words.
pub(crate) fn time_problem(text: &str) -> Option<String> {
    if is_time(text) {
        return None;
    }
    const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
    Some(format!(
        r#"parsing time "{text}" as "{LAYOUT}": not a time of that form"#
    ))
}

/// RFC 3339, section 5.6, with `T` and `Z` in capitals as Go wants them.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((fixed, rest)) = bytes.split_at_checked(19) else {
        return false;
    };
    let form = b"dddd-dd-ddTdd:dd:dd";
    let fits = fixed.iter().zip(form).all(|(byte, want)| match want {
        b'd' => byte.is_ascii_digit(),
        _ => byte == want,
    });
    let number = |from: usize| {
        let digits = text.get(from..from + 2)?;
        digits.parse::<u8>().ok()
    };
    let within = |from, low, high| number(from).is_some_and(|value| (low..=high).contains(&value));
    fits && within(5, 1, 12)
        && within(8, 1, 31)
        && within(11, 0, 23)
        && within(14, 0, 59)
        && within(17, 0, 59)
        && is_zone(rest)
}

/// `Z` or an offset, after an optional fraction of a second.
fn is_zone(rest: &[u8]) -> bool {
    let zone = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => {
            let end = fraction
                .iter()
                .position(|byte| !byte.is_ascii_digit())
                .unwrap_or(fraction.len());
            match fraction.split_at_checked(end) {
                Some((digits, zone)) if !digits.is_empty() => zone,
                _ => return false,
            }
        }
    };
    match zone {
        b"Z" => true,
        [b'+' | b'-', hours @ .., b':', m1, m2] => {
            hours.len() == 2 && hours.iter().chain([m1, m2]).all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// Why `text` is no base64 (RFC 4648, section 4; line ends are skipped), in upstream's words.
pub(crate) fn base64_problem(text: &str) -> Option<String> {
    let at = |place: usize| Some(format!("illegal base64 data at input byte {place}"));
    let mut symbols = 0_usize;
    let mut padding = 0_usize;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'\r' | b'\n' => continue,
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return at(place),
        }
        symbols += 1;
        if padding > 2 || (padding > 0 && (symbols - padding) % 4 < 2) {
            return at(place);
        }
    }
    if symbols.is_multiple_of(4) {
        None
    } else {
        at(text.len() / 4 * 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_upstream() {
        for good in [
            "0", "1", "-1.5", "+.5", "1.", "100m", "64Mi", "1e3", "1E-3", "2E", "3Ei", "10k", "5n", "7u",
        ] {
            assert_eq!(quantity_problem(good), None, "{good}");
        }
        for bad in ["", "Mi", "1.2.3", "1 Gi", "abc", "1ä", "--1", "1Mi5x"] {
            let problem = quantity_problem(bad).unwrap_or_default();
            assert!(problem.starts_with("quantities must match"), "{bad}: {problem}");
        }
        for bad in ["1mi", "1Kii", "1K", "1MiB"] {
            assert!(quantity_problem(bad).is_some(), "{bad}");
        }
        assert_eq!(
            quantity_problem("1mi").as_deref(),
            Some("unable to parse quantity's suffix")
        );
    }

    #[test]
    fn times_are_rfc_3339() {
        for good in [
            "2026-11-21T04:00:00Z",
            "2026-11-21T04:00:00.123456Z",
            "2026-11-21T04:00:00+01:00",
        ] {
            assert_eq!(time_problem(good), None, "{good}");
        }
        for bad in [
            "",
            "2026-11-21",
            "2026-13-21T04:00:00Z",
            "2026-11-21 04:00:00Z",
            "2026-11-21T04:00:00",
            "2026-11-21T24:00:00Z",
            "2026-11-21T04:00:00.Z",
            "2026-11-21T04:00:00z",
            "2026-11-21T04:00:00+1:00",
        ] {
            assert!(time_problem(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn base64_is_the_standard_alphabet_with_padding() {
        for good in ["", "YQ==", "YWI=", "YWJj", "YWJj\nYQ==\n", "+/+/"] {
            assert_eq!(base64_problem(good), None, "{good}");
        }
        for bad in [
            "Y", "YQ", "YQ=", "Y===", "YQ==YQ==", "-_-_", "YQ== ", "====", "Y=Q=",
        ] {
            assert!(base64_problem(bad).is_some(), "{bad}");
        }
        assert_eq!(
            base64_problem("not base64!").as_deref(),
            Some("illegal base64 data at input byte 3")
        );
    }
}
