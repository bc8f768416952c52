//! Amounts of resources: `100m`, `1.5Gi`, `2e3`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It is not a number with a known suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// The number is none, or beyond what can be held.
    #[error("unable to parse numeric part of quantity")]
    Number,
}

/// How a quantity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// `1500m`, `2k`.
    Decimal,
    /// `1Ki`, `3Gi`.
    Binary,
    /// `2e3`.
    Exponent,
}

const NANOS: i128 = 1_000_000_000;

/// An exact amount with nine decimal digits; finer ones are rounded away from zero, as upstream does.
///
/// Compares by amount, whatever the spelling: `1000m` equals `1`. Prints in upstream's canonical
/// spelling: the largest suffix that leaves a whole number.
#[derive(Debug, Clone, Copy, Eq)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl std::hash::Hash for Quantity {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

const DECIMAL: [(&str, i32); 10] = [
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("", 0),
    ("m", -3),
    ("u", -6),
    ("n", -9),
];
const BINARY: [(&str, u32); 6] = [
    ("Ei", 60),
    ("Pi", 50),
    ("Ti", 40),
    ("Gi", 30),
    ("Mi", 20),
    ("Ki", 10),
];

impl Quantity {
    /// No amount.
    pub const ZERO: Self = Self {
        nanos: 0,
        form: Form::Decimal,
    };

    /// Reads a quantity.
    ///
    /// # Errors
    ///
    /// Says which part cannot be read.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at_checked(end).ok_or(QuantityError::Format)?;
        if number.is_empty() || number == "." || number.matches('.').count() > 1 {
            return Err(QuantityError::Format);
        }
        let (form, scale) = scale_of(suffix)?;
        let nanos = scale.apply(number)?;
        Ok(Self {
            nanos: if negative { -nanos } else { nanos },
            form,
        })
    }

    /// So many thousandths, such as milli-CPUs.
    #[must_use]
    pub const fn from_milli(milli: i64) -> Self {
        Self {
            nanos: milli as i128 * (NANOS / 1000),
            form: Form::Decimal,
        }
    }

    /// So many bytes, written with `Ki`, `Mi` and so on.
    #[must_use]
    pub const fn from_bytes(bytes: i64) -> Self {
        Self {
            nanos: bytes as i128 * NANOS,
            form: Form::Binary,
        }
    }

    /// The amount in thousandths, rounded up; at the ends of `i64` it stays there.
    #[must_use]
    pub fn milli(self) -> i64 {
        saturate(divide_up(self.nanos, NANOS / 1000))
    }

    /// The amount in ones (bytes, pods), rounded up; at the ends of `i64` it stays there.
    #[must_use]
    pub fn bytes(self) -> i64 {
        saturate(divide_up(self.nanos, NANOS))
    }

    /// The amount as a float, for reckoning with ratios.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an approximation is what is asked for")]
    pub fn as_f64(self) -> f64 {
        self.nanos as f64 / NANOS as f64
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is a whole number.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.nanos % NANOS == 0
    }

    /// Whether it has no more than three decimal digits.
    #[must_use]
    pub const fn is_whole_milli(self) -> bool {
        self.nanos % (NANOS / 1000) == 0
    }

    /// The sum, spelled as `self` is (as `other` is, where `self` is zero).
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let form = if self.nanos == 0 { other.form } else { self.form };
        Self {
            nanos: self.nanos.saturating_add(other.nanos),
            form,
        }
    }

    /// The difference, spelled as `self` is (as `other` is, where `self` is zero).
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let form = if self.nanos == 0 { other.form } else { self.form };
        Self {
            nanos: self.nanos.saturating_sub(other.nanos),
            form,
        }
    }
}

fn divide_up(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value / by, value % by);
    match rest.cmp(&0) {
        Ordering::Greater => quotient + 1,
        Ordering::Less => quotient - 1,
        Ordering::Equal => quotient,
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// What a suffix multiplies by.
enum Scale {
    Ten(i32),
    Two(u32),
}

fn scale_of(suffix: &str) -> Result<(Form, Scale), QuantityError> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok((Form::Decimal, Scale::Ten(*power)));
    }
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok((Form::Binary, Scale::Two(*power)));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let power: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
    Ok((Form::Exponent, Scale::Ten(power)))
}

impl Scale {
    /// `number` (digits with at most one point) times the scale, in nanos, rounded up.
    fn apply(&self, number: &str) -> Result<i128, QuantityError> {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        let value: i128 = digits.parse().map_err(|_| QuantityError::Number)?;
        let places = i32::try_from(fraction.len()).map_err(|_| QuantityError::Number)?;
        match self {
            Self::Ten(power) => shift(value, power.saturating_add(9).saturating_sub(places)),
            Self::Two(power) => {
                let scaled = value.checked_mul(1_i128 << power).ok_or(QuantityError::Number)?;
                shift(scaled, 9 - places)
            }
        }
    }
}

/// `value` times ten to the `power`, rounded up.
fn shift(value: i128, power: i32) -> Result<i128, QuantityError> {
    let ten = |power: u32| 10_i128.checked_pow(power);
    match u32::try_from(power) {
        _ if value == 0 => Ok(0),
        Ok(up) => ten(up)
            .and_then(|factor| value.checked_mul(factor))
            .ok_or(QuantityError::Number),
        // What is finer than can be told from zero is rounded up to the smallest amount.
        Err(_) => Ok(ten(power.unsigned_abs()).map_or(1, |factor| divide_up(value, factor))),
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        match self.form {
            Form::Binary if self.nanos.abs() >= 1024 * NANOS => write_binary(divide_up(self.nanos, NANOS), f),
            Form::Binary | Form::Decimal => self.write_decimal(f),
            Form::Exponent => self.write_exponent(f),
        }
    }
}

fn write_binary(value: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = BINARY.iter().find(|(_, power)| value % (1_i128 << power) == 0);
    match fits {
        Some((suffix, power)) => write!(f, "{}{suffix}", value >> power),
        None => write!(f, "{value}"),
    }
}

impl Quantity {
    /// The largest power of 1000 that divides the amount, and how often it does.
    fn split(self) -> (i128, i32) {
        let mut power = -9;
        let mut value = self.nanos;
        while power < 18 && value % 1000 == 0 {
            value /= 1000;
            power += 3;
        }
        (value, power)
    }

    fn write_decimal(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, power) = self.split();
        let suffix = DECIMAL
            .iter()
            .find(|(_, scale)| *scale == power)
            .map_or("", |(suffix, _)| suffix);
        write!(f, "{value}{suffix}")
    }

    fn write_exponent(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.split() {
            (value, 0) => write!(f, "{value}"),
            (value, power) => write!(f, "{value}e{power}"),
        }
    }
}

#[cfg(test)]
mod tests;
