//! Texts that are read as spans and points in time, which are looked at before they are evaluated, as in cel-go.

/// Whether Go reads `text` as a span: `1h30m`, `-1.5s`, `0`.
pub(crate) fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 8] = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let amount = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let number = rest.strip_suffix(amount).unwrap_or_default();
        let digits = number.chars().any(|letter| letter.is_ascii_digit());
        let after = amount.trim_start_matches(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let unit = amount.strip_suffix(after).unwrap_or_default();
        if !digits || number.matches('.').count() > 1 || !UNITS.contains(&unit) {
            return false;
        }
        rest = after;
    }
    true
}

/// Whether `text` is a point in time as RFC 3339 has it, from the year 1 on.
pub(crate) fn is_timestamp(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else {
        return false;
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2]);
    let (clock, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => return false,
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2]);
    let fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let zone = match offset.strip_prefix(['+', '-']) {
        Some(zone) => {
            let [hours, minutes] = numbers(zone, ':', [2, 2]);
            within(hours, 0, 23) && within(minutes, 0, 59)
        }
        None => offset == "Z",
    };
    let days = days(year.unwrap_or_default(), month.unwrap_or_default());
    let date = within(year, 1, 9999) && within(month, 1, 12) && within(day, 1, days);
    date && within(hour, 0, 23) && within(minute, 0, 59) && within(second, 0, 59) && fraction && zone
}

fn within(number: Option<u32>, least: u32, most: u32) -> bool {
    number.is_some_and(|number| (least..=most).contains(&number))
}

fn days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Numbers of as many digits each, and nothing else.
fn numbers<const COUNT: usize>(text: &str, between: char, digits: [usize; COUNT]) -> [Option<u32>; COUNT] {
    let mut parts = text.split(between);
    let found = digits.map(|digits| {
        let part = parts.next()?;
        let whole = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        whole.then(|| part.parse().ok())?
    });
    if parts.next().is_some() {
        [None; COUNT]
    } else {
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_points_are_known_as_go_knows_them() {
        for good in [
            "0", "1h", "1h30m", "-1.5s", ".5s", "+1us", "1µs", "100ms3ns", "1.s",
        ] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "1", "h", "1d", "1h 30m", "-", "1..5s", ".s", "1hh"] {
            assert!(!is_duration(bad), "{bad}");
        }
        for good in [
            "2026-01-01T00:00:00Z",
            "2024-02-29T23:59:59.5+02:00",
            "0001-01-01T00:00:00-00:00",
        ] {
            assert!(is_timestamp(good), "{good}");
        }
        for bad in [
            "",
            "2026-01-01",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00Z",
            "2026-1-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
    }
}
