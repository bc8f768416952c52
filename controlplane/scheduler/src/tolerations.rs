//! Whether a pod bears a node's taints.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Whether any of `tolerations` covers `taint`.
pub(crate) fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| covers(toleration, taint))
}

fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    if !key.is_empty() && key != taint.key {
        return false;
    }
    let ours = toleration.value.as_deref().unwrap_or_default();
    let theirs = taint.value.as_deref().unwrap_or_default();
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => !key.is_empty() && ours == theirs,
        operator => compares(operator, ours, theirs),
    }
}

/// The numeric operators `Lt` and `Gt`: the taint's value against the toleration's.
fn compares(operator: &str, ours: &str, theirs: &str) -> bool {
    let (Ok(ours), Ok(theirs)) = (ours.parse::<i64>(), theirs.parse::<i64>()) else {
        return false;
    };
    match operator {
        "Lt" => theirs < ours,
        "Gt" => theirs > ours,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint() -> Taint {
        Taint {
            key: "dedicated".into(),
            value: Some("db".into()),
            effect: "NoSchedule".into(),
            time_added: None,
        }
    }

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        let some = |raw: &str| (!raw.is_empty()).then(|| raw.to_owned());
        Toleration {
            key: some(key),
            operator: some(operator),
            value: some(value),
            effect: some(effect),
            toleration_seconds: None,
        }
    }

    #[test]
    fn tolerations_follow_the_documented_table() {
        let table = [
            (toleration("dedicated", "Equal", "db", "NoSchedule"), true),
            (toleration("dedicated", "", "db", ""), true),
            (toleration("dedicated", "", "web", ""), false),
            (toleration("dedicated", "Exists", "", ""), true),
            (toleration("", "Exists", "", ""), true),
            (toleration("", "Exists", "", "NoExecute"), false),
            (toleration("other", "Exists", "", ""), false),
        ];
        for (toleration, expected) in table {
            assert_eq!(
                tolerates(std::slice::from_ref(&toleration), &taint()),
                expected,
                "{toleration:?}"
            );
        }
    }
}
