//! Rules for PriorityLevelConfigurations.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::kinds::flow_defaults;
use crate::meta;
use crate::read;
use crate::resource::at;
use crate::validate::number;

const EXEMPT: &str = "exempt";
const MAX_QUEUES: i64 = 10_000_000;
/// Bits of a request's hash, from which its queues are drawn.
const HASH_BITS: i64 = 60;

/// What is wrong with a PriorityLevelConfiguration.
pub(crate) fn level(object: &Value) -> Vec<FieldError> {
    let (name, kind) = (meta::name(object), read::text(object, "spec.type"));
    let path = Path::new("spec");
    let part = |field: &str| {
        at(object, "spec")
            .and_then(|spec| spec.get(field))
            .filter(|part| !part.is_null())
    };
    let mut errors = Vec::new();
    if (name == EXEMPT) != (kind == "Exempt") {
        let detail = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(path.child("type").invalid(kind, detail));
    }
    match (kind, part("exempt"), part("limited")) {
        ("Exempt", exempt, limited) => {
            if limited.is_some() {
                let detail = "must be nil if the type is not Limited";
                errors.push(path.child("limited").forbidden(detail));
            }
            errors.extend(
                exempt
                    .into_iter()
                    .flat_map(|found| shares(found, &path.child("exempt"))),
            );
        }
        ("Limited", exempt, limited) => {
            if exempt.is_some() {
                let detail = "must be nil if the type is Limited";
                errors.push(path.child("exempt").forbidden(detail));
            }
            match limited {
                None => errors.push(
                    path.child("limited")
                        .required("must not be empty when type is Limited"),
                ),
                Some(found) => errors.extend(self::limited(found, &path.child("limited"))),
            }
        }
        _ => errors.push(path.child("type").not_supported(kind, &["Exempt", "Limited"])),
    }
    errors.extend(fixed(object, name));
    errors
}

/// Of the level that knows no limits, what it lends may change; the others that must be there are fixed.
fn fixed(object: &Value, name: &str) -> Option<FieldError> {
    let mandatory = flow_defaults::mandatory_levels();
    if name != EXEMPT {
        return super::fixed(object, &mandatory);
    }
    let spec = object.get("spec").cloned().unwrap_or_default();
    let others = spec
        .as_object()
        .is_some_and(|spec| spec.keys().any(|key| !matches!(key.as_str(), "type" | "exempt")));
    (others || read::text(object, "spec.type") != "Exempt").then(|| {
        let detail = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value";
        Path::new("spec").invalid(spec, detail)
    })
}

fn shares(part: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = number::at_least(
        part,
        "nominalConcurrencyShares",
        path,
        0,
        "must be a non-negative integer",
    )
    .into_iter()
    .collect();
    errors.extend(lendable(part, path));
    errors
}

fn lendable(part: &Value, path: &Path) -> Option<FieldError> {
    let percent = read::integer(part, "lendablePercent").filter(|percent| !(0..=100).contains(percent))?;
    Some(
        path.child("lendablePercent")
            .invalid(percent, "must be between 0 and 100, inclusive"),
    )
}

fn limited(limited: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = number::at_least(
        limited,
        "nominalConcurrencyShares",
        path,
        0,
        "must be a non-negative integer",
    )
    .into_iter()
    .collect();
    errors.extend(response(limited, &path.child("limitResponse")));
    errors.extend(lendable(limited, path));
    errors.extend(number::at_least(
        limited,
        "borrowingLimitPercent",
        path,
        0,
        "if specified, must be a non-negative integer",
    ));
    errors
}

fn response(limited: &Value, path: &Path) -> Vec<FieldError> {
    let queuing = at(limited, "limitResponse.queuing").filter(|queuing| !queuing.is_null());
    let kind = read::text(limited, "limitResponse.type");
    match (kind, queuing) {
        ("Reject", Some(_)) => vec![
            path.child("queuing")
                .forbidden("must be nil if limited.limitResponse.type is not Limited"),
        ],
        ("Queue", None) => vec![
            path.child("queuing")
                .required("must not be empty if limited.limitResponse.type is Limited"),
        ],
        ("Queue", Some(queuing)) => self::queuing(queuing, &path.child("queuing")),
        ("Reject", None) => Vec::new(),
        _ => vec![path.child("type").not_supported(kind, &["Queue", "Reject"])],
    }
}

fn queuing(queuing: &Value, path: &Path) -> Vec<FieldError> {
    let read = |field| read::count(queuing, field);
    let (length, queues, hand) = (read("queueLengthLimit"), read("queues"), read("handSize"));
    let mut errors = Vec::new();
    if length <= 0 {
        errors.push(path.child("queueLengthLimit").invalid(length, "must be positive"));
    }
    let at = path.child("queues");
    if queues <= 0 {
        errors.push(at.invalid(queues, "must be positive"));
    } else if queues > MAX_QUEUES {
        errors.push(at.invalid(queues, format!("must not be greater than {MAX_QUEUES}")));
    }
    let at = path.child("handSize");
    if hand <= 0 {
        errors.push(at.invalid(hand, "must be positive"));
    } else if hand > queues {
        errors.push(at.invalid(hand, format!("should not be greater than queues ({queues})")));
    } else if !dealt_by_hash(queues, hand) {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        errors.push(at.invalid(hand, detail));
    }
    errors
}

/// Whether a hash has bits enough to deal a hand of so many of the queues: the number of hands, in order, is at most two
/// to their power.
fn dealt_by_hash(queues: i64, hand: i64) -> bool {
    let hands = (0..hand).try_fold(1_u64, |hands, dealt| {
        hands
            .checked_mul(queues.saturating_sub(dealt).unsigned_abs())
            .filter(|hands| *hands <= 1 << HASH_BITS)
    });
    hands.is_some()
}
