//! Makes everything in this program that draws from the system's chance repeat itself: hash maps' keys, the order in which
//! tokio polls the arms of `select!`, names of temporary files.
//!
//! Rust's standard library and the crates above it take all of it from `getrandom(2)` of the C library; this program brings
//! its own, which gives each thread what it was seeded with.

#![expect(
    unsafe_code,
    reason = "a symbol of the C library is replaced, which only a foreign function can do"
)]

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0x5eed) };
}

/// Makes this thread's chance follow from `seed`. To be called first in a thread: hash maps draw once.
pub(crate) fn seed_thread(seed: u64) {
    STATE.set(seed);
}

fn fill(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        let mut random = crate::Random::new(STATE.get());
        let drawn = random.draw().to_le_bytes();
        STATE.set(STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        for (to, from) in chunk.iter_mut().zip(drawn) {
            *to = from;
        }
    }
}

/// `getrandom(2)`, without chance.
// SAFETY: nothing else in the program defines this symbol; name and types are those of getrandom(2).
#[unsafe(no_mangle)]
extern "C" fn getrandom(into: *mut u8, length: usize, _flags: u32) -> isize {
    if length > 0 {
        // SAFETY: the caller passes a buffer of `length` bytes to be written, as getrandom(2) demands.
        fill(unsafe { std::slice::from_raw_parts_mut(into, length) });
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::hash_map::RandomState;
    use std::hash::BuildHasher;

    fn draw(seed: u64) -> u64 {
        let thread = std::thread::spawn(move || {
            super::seed_thread(seed);
            RandomState::new().hash_one(7)
        });
        thread.join().unwrap()
    }

    #[test]
    fn hash_maps_of_a_thread_follow_from_its_seed() {
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
