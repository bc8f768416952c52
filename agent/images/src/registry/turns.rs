//! One at a time for each key, whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

type Turn = tokio::sync::Mutex<()>;

/// A mutex a key; those that nobody holds or waits for are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<String, Weak<Turn>>>);

impl Turns {
    /// The mutex of `key`.
    pub(crate) fn of(&self, key: &str) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = turns.get(key).and_then(Weak::upgrade) {
            return known;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::default());
        turns.insert(key.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_turn_as_long_as_somebody_has_it() {
        let turns = Turns::default();
        let first = turns.of("a");
        assert!(Arc::ptr_eq(&first, &turns.of("a")));
        assert!(!Arc::ptr_eq(&first, &turns.of("b")));
        drop(first);
        drop(turns.of("c"));
        let _held = turns.of("d");
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
