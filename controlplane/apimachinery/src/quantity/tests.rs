use proptest::prelude::*;

use super::*;

#[test]
fn quantities_print_in_canonical_form() {
    for (text, canonical) in [
        ("0", "0"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1000m", "1"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("0.1", "100m"),
        (".5", "500m"),
        ("1.", "1"),
        ("100m", "100m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1536Mi", "1536Mi"),
        ("0.1Ki", "102400m"),
        ("512", "512"),
        ("1023Ki", "1023Ki"),
        ("16777216Ki", "16Gi"),
        ("1e3", "1e3"),
        ("12E2", "1200"),
        ("100e-3", "100e-3"),
        ("-1", "-1"),
        ("+2", "2"),
        ("-1024Ki", "-1Mi"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("3E", "3E"),
        ("0Mi", "0"),
    ] {
        assert_eq!(
            Quantity::parse(text).map(|q| q.to_string()),
            Ok(canonical.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_quantity_is_refused() {
    for (text, error) in [
        ("", QuantityError::Format),
        ("Mi", QuantityError::Format),
        (".", QuantityError::Format),
        ("1.2.3", QuantityError::Format),
        ("1Q", QuantityError::Suffix),
        ("1mi", QuantityError::Suffix),
        ("1 Gi", QuantityError::Suffix),
        ("1e", QuantityError::Suffix),
        (
            "999999999999999999999999999999999999999999",
            QuantityError::Number,
        ),
        ("1e99", QuantityError::Number),
    ] {
        assert_eq!(Quantity::parse(text), Err(error), "{text}");
    }
}

#[test]
fn amounts_are_read_in_the_unit_asked_for_and_rounded_up() {
    let parse = |text| Quantity::parse(text).unwrap();
    assert_eq!(parse("250m").milli(), 250);
    assert_eq!(parse("1").milli(), 1000);
    assert_eq!(parse("1u").milli(), 1);
    assert_eq!(parse("128Mi").bytes(), 134_217_728);
    assert_eq!(parse("1500m").bytes(), 2);
    assert_eq!(parse("100E").milli(), i64::MAX);
    assert!((parse("250m").as_f64() - 0.25).abs() < 1e-12);
    assert_eq!(Quantity::from_bytes(1 << 30).to_string(), "1Gi");
    assert_eq!(Quantity::from_milli(1500).to_string(), "1500m");
    assert_eq!(parse("1Gi").minus(parse("100Mi")).to_string(), "924Mi");
    assert_eq!(Quantity::ZERO.plus(parse("1Ki")).to_string(), "1Ki");
}

proptest! {
    #[test]
    fn the_canonical_form_keeps_the_amount_and_settles_at_once(
        number in "[0-9]{1,9}(\\.[0-9]{0,6})?",
        suffix in prop::sample::select(vec!["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2"]),
    ) {
        let quantity = Quantity::parse(&format!("{number}{suffix}")).unwrap();
        let printed = quantity.to_string();
        let again = Quantity::parse(&printed).unwrap();
        // Beneath one, a binary amount may be rounded up to a whole number of bytes.
        prop_assert!(again >= quantity);
        if quantity.form != Form::Binary {
            prop_assert_eq!(again, quantity);
        }
        // An amount without a binary factor is printed without a suffix, and what has no
        // suffix is read as decimal: `1025` stays, `1025000` becomes `1025k`, as upstream.
        let settled = again.to_string();
        if again.form == quantity.form {
            prop_assert_eq!(&settled, &printed);
        }
        let last = Quantity::parse(&settled).unwrap();
        prop_assert_eq!(last, again);
        prop_assert_eq!(last.to_string(), settled);
    }

    #[test]
    fn order_is_that_of_the_amounts(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000) {
        let milli = |n: i64| Quantity::parse(&format!("{n}m")).unwrap();
        prop_assert_eq!(milli(a).cmp(&milli(b)), a.cmp(&b));
        prop_assert_eq!(milli(a) < Quantity::parse(&format!("{b}")).unwrap(), a < b * 1000);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,30}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            prop_assert!(!quantity.to_string().is_empty());
        }
    }
}
