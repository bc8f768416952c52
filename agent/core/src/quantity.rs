//! Reading Kubernetes quantities exactly.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const NANO: i128 = 1_000_000_000;

/// The quantity in billionths, exact; none where it is no quantity.
#[must_use]
pub fn nano(quantity: &Quantity) -> Option<i128> {
    let text = quantity.0.trim();
    let end = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits = whole.trim_start_matches(['+', '-']);
    let whole: i128 = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let padded = format!("{fraction:0<9}");
    let fraction: i128 = padded.get(..9)?.parse().ok()?;
    let value = whole.checked_mul(NANO)?.checked_add(fraction)?;
    let (times, over) = scale(suffix)?;
    let scaled = value.checked_mul(times)?.div_euclid(over);
    Some(if negative { -scaled } else { scaled })
}

/// The quantity in whole units, rounded up, as byte counts are read.
#[must_use]
pub fn units(quantity: &Quantity) -> Option<u64> {
    nano(quantity).and_then(|value| u64::try_from(value.checked_add(NANO - 1)?.div_euclid(NANO)).ok())
}

/// The quantity in thousandths, rounded up, as cpus are read.
#[must_use]
pub fn milli(quantity: &Quantity) -> Option<u64> {
    nano(quantity).and_then(|value| u64::try_from(value.checked_add(999_999)?.div_euclid(1_000_000)).ok())
}

fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |n: u32| Some((1_i128.checked_shl(10 * n)?, 1));
    let decimal = |n: u32| Some((10_i128.checked_pow(n)?, 1));
    match suffix {
        "n" => Some((1, NANO)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "" => Some((1, 1)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs())?;
            Some(if power < 0 { (1, ten) } else { (ten, 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_read_exactly() {
        let read = |text: &str| nano(&Quantity(text.to_owned()));
        assert_eq!(read("1"), Some(NANO));
        assert_eq!(read("100m"), Some(NANO / 10));
        assert_eq!(read("1.5Gi"), Some(1_610_612_736 * NANO));
        assert_eq!(read("1e3"), Some(1000 * NANO));
        assert_eq!(read("12E"), Some(12_000_000_000_000_000_000 * NANO));
        assert_eq!(read("x"), None);
    }

    #[test]
    fn parts_of_a_unit_round_up() {
        assert_eq!(units(&Quantity("100m".to_owned())), Some(1));
        assert_eq!(milli(&Quantity("0.0001".to_owned())), Some(1));
    }
}
