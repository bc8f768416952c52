//! Any text is a label selector and a field selector, or an error; what is read says of an object what it says written out
//! and read again.
#![no_main]

use controlplane_apimachinery::selector::{FieldSelector, LabelSelector};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(selector) = LabelSelector::parse(text) {
        let again = LabelSelector::parse(&selector.to_string()).expect("it was just written");
        assert_eq!(again, selector, "{selector}");
        let object = json!({"metadata": {"labels": {"a": "b", "c": "1", "x/y": ""}}});
        assert_eq!(again.matches_object(&object), selector.matches_object(&object));
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        std::hint::black_box(selector.is_everything());
        for term in selector.terms() {
            std::hint::black_box(term);
        }
    }
});
