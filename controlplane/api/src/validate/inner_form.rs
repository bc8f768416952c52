//! Structs as upstream's messages show them: members in the order of their declaration, under the names of its inner
//! types, which differ from those in JSON.

pub(crate) mod of_core;

use serde_json::Value;

use crate::field::{FieldError, quote};

/// A struct: its members in order.
pub(crate) type Form = &'static [Member];

/// A member of a struct.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its name in JSON.
    json: &'static str,
    /// Its name in messages.
    name: &'static str,
    /// What stands where it is absent; nothing where it is left out then.
    absent: Option<&'static str>,
    /// The form of its value, or of each element of the list that it is.
    form: Form,
}

/// A member that is there under another name, as `absent` where nobody gave it.
pub(crate) const fn member(json: &'static str, name: &'static str, absent: &'static str) -> Member {
    Member {
        json,
        name,
        absent: Some(absent),
        form: &[],
    }
}

/// A member with a form of its own, null where nobody gave it.
pub(crate) const fn holding(json: &'static str, name: &'static str, form: Form) -> Member {
    Member {
        json,
        name,
        absent: Some(NULL),
        form,
    }
}

/// A member as JSON has it, left out where it is empty.
pub(crate) const fn as_in_json(name: &'static str) -> Member {
    part(name, &[])
}

/// The same, with a form of its own.
pub(crate) const fn part(name: &'static str, form: Form) -> Member {
    Member {
        json: name,
        name,
        absent: None,
        form,
    }
}

pub(crate) const NULL: &str = "null";
pub(crate) const EMPTY: &str = "\"\"";
pub(crate) const ZERO: &str = "0";

/// Of workloads, budgets and policies; it is one type inside and outside.
pub(crate) const LABEL_SELECTOR: Form = &[as_in_json("matchLabels"), as_in_json("matchExpressions")];

const DEPLOYMENT_ROLLING: Form = &[
    member("maxUnavailable", "MaxUnavailable", ZERO),
    member("maxSurge", "MaxSurge", ZERO),
];

/// Of Deployments and DaemonSets.
pub(crate) const ROLLING_STRATEGY: Form = &[
    member("type", "Type", EMPTY),
    holding("rollingUpdate", "RollingUpdate", DEPLOYMENT_ROLLING),
];

/// Of a StatefulSet's strategy.
pub(crate) const STATEFUL_ROLLING: Form = &[
    member("partition", "Partition", ZERO),
    member("maxUnavailable", "MaxUnavailable", NULL),
];

/// Of StatefulSets.
pub(crate) const STATEFUL_STRATEGY: Form = &[
    member("type", "Type", EMPTY),
    holding("rollingUpdate", "RollingUpdate", STATEFUL_ROLLING),
];

/// The spec of a PodDisruptionBudget.
pub(crate) const BUDGET: Form = &[
    member("minAvailable", "MinAvailable", NULL),
    holding("selector", "Selector", LABEL_SELECTOR),
    member("maxUnavailable", "MaxUnavailable", NULL),
    member("unhealthyPodEvictionPolicy", "UnhealthyPodEvictionPolicy", NULL),
];

const SUCCESS_RULE: Form = &[
    member("succeededIndexes", "SucceededIndexes", NULL),
    member("succeededCount", "SucceededCount", NULL),
];

/// When a job has succeeded.
pub(crate) const SUCCESS_POLICY: Form = &[holding("rules", "Rules", SUCCESS_RULE)];

const EXIT_CODES: Form = &[
    member("containerName", "ContainerName", NULL),
    member("operator", "Operator", EMPTY),
    member("values", "Values", NULL),
];

const CONDITION_PATTERN: Form = &[member("type", "Type", EMPTY), member("status", "Status", EMPTY)];

const FAILURE_RULE: Form = &[
    member("action", "Action", EMPTY),
    holding("onExitCodes", "OnExitCodes", EXIT_CODES),
    holding("onPodConditions", "OnPodConditions", CONDITION_PATTERN),
];

/// When a job has failed.
pub(crate) const FAILURE_POLICY: Form = &[holding("rules", "Rules", FAILURE_RULE)];

/// Of pods and of RuntimeClasses.
pub(crate) const TOLERATION: Form = &[
    member("key", "Key", EMPTY),
    member("operator", "Operator", EMPTY),
    member("value", "Value", EMPTY),
    member("effect", "Effect", EMPTY),
    member("tolerationSeconds", "TolerationSeconds", NULL),
];

/// Whose an IPAddress is.
pub(crate) const PARENT: Form = &[
    member("group", "Group", EMPTY),
    member("resource", "Resource", EMPTY),
    member("namespace", "Namespace", EMPTY),
    member("name", "Name", EMPTY),
];

/// `value` as a message shows it. Without a form it is as in JSON; what is absent is upstream's nil pointer, which its
/// messages quote.
pub(crate) fn shown(value: Option<&Value>, form: Form) -> String {
    match value.filter(|value| !value.is_null()) {
        Some(value) => text(value, form),
        None => quote(NULL),
    }
}

/// `value` with its members in order.
pub(crate) fn text(value: &Value, form: Form) -> String {
    match value {
        Value::Array(elements) if !form.is_empty() => {
            let elements: Vec<String> = elements.iter().map(|element| text(element, form)).collect();
            format!("[{}]", elements.join(","))
        }
        Value::Object(_) if !form.is_empty() => {
            let members: Vec<String> = form.iter().filter_map(|member| in_form(value, member)).collect();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}

/// The same error, whose value has this form.
pub(crate) fn formed(error: FieldError, form: Form) -> FieldError {
    let text = shown(Some(&error.bad_value), form);
    error.shown_as(text)
}

fn in_form(value: &Value, member: &Member) -> Option<String> {
    let found = value.get(member.json).filter(|found| !found.is_null());
    let text = match (found, member.absent) {
        (Some(found), Some(_)) => text(found, member.form),
        (Some(found), None) if !is_empty(found) => text(found, member.form),
        (_, absent) => absent?.to_owned(),
    };
    Some(format!("{}:{text}", quote(member.name)))
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_come_in_order_under_their_inner_names() {
        let strategy = json!({"rollingUpdate": {"maxSurge": "25%"}, "type": "Odd"});
        let expected = r#"{"Type":"Odd","RollingUpdate":{"MaxUnavailable":0,"MaxSurge":"25%"}}"#;
        assert_eq!(shown(Some(&strategy), ROLLING_STRATEGY), expected);
        let expected = r#"{"Type":"Odd","RollingUpdate":null}"#;
        assert_eq!(shown(Some(&json!({"type": "Odd"})), STATEFUL_STRATEGY), expected);
    }

    #[test]
    fn lists_show_each_element_and_what_json_omits_is_left_out() {
        let policy = json!({"rules": [{"succeededCount": 1}]});
        let expected = r#"{"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}"#;
        assert_eq!(shown(Some(&policy), SUCCESS_POLICY), expected);
        let selector = json!({"matchExpressions": [{"key": "a"}], "matchLabels": {"a": "b"}});
        let expected = r#"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"a"}]}"#;
        assert_eq!(shown(Some(&selector), LABEL_SELECTOR), expected);
        assert_eq!(shown(Some(&json!({"matchLabels": {}})), LABEL_SELECTOR), "{}");
        assert_eq!(shown(None, LABEL_SELECTOR), r#""null""#);
    }
}
