//! How much may be under way at once, altogether and for one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what is under way.
#[derive(Debug)]
pub(crate) struct Admission {
    most: usize,
    most_each: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Admission {
    /// At most `most` at once, `most_each` of them for one client: so no pod keeps out all others.
    pub(crate) fn new(most: usize, most_each: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_each,
            state: Mutex::default(),
        })
    }

    /// A place for `client`, if there is one.
    pub(crate) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut state = self.lock();
        let of_client = state.each.get(&client).copied().unwrap_or_default();
        if state.all >= self.most || of_client >= self.most_each {
            return None;
        }
        state.all += 1;
        state.each.insert(client, of_client + 1);
        Some(Place {
            admission: Arc::clone(self),
            client,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.all = state.all.saturating_sub(1);
        if let Some(count) = state.each.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.each.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_take_all_places_and_a_place_left_is_free_again() {
        let (greedy, other) = (IpAddr::from([10, 42, 0, 2]), IpAddr::from([10, 42, 0, 3]));
        let admission = Admission::new(3, 2);
        let taken: Vec<Place> = (0..5).filter_map(|_| admission.enter(greedy)).collect();
        assert_eq!(taken.len(), 2);
        let last = admission.enter(other);
        assert!(last.is_some() && admission.enter(other).is_none());
        drop(taken);
        assert!(admission.enter(greedy).is_some() && admission.lock().each.len() == 1);
    }
}
