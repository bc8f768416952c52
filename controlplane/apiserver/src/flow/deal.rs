//! Shuffle sharding: each flow is dealt a few of a level's queues, so that two flows seldom share all of theirs.

/// `hand` different queues of `deck`, chosen by `hash` alone.
pub(super) fn deal(mut hash: u64, deck: usize, hand: usize) -> Vec<usize> {
    let mut dealt: Vec<usize> = Vec::with_capacity(hand);
    for left in (1..=deck).rev().take(hand) {
        let choices = left as u64;
        // Below `left`, which is a usize.
        let mut card = usize::try_from(hash % choices).unwrap_or_default();
        hash /= choices;
        // The n-th card that is left: those before it that are dealt are not counted. `dealt` is sorted.
        for gone in &dealt {
            if card >= *gone {
                card += 1;
            }
        }
        let place = dealt.partition_point(|gone| *gone < card);
        dealt.insert(place, card);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hand_holds_different_queues_of_the_deck(hash: u64, deck in 1_usize..200, hand in 1_usize..10) {
            let dealt = deal(hash, deck, hand);
            prop_assert_eq!(dealt.len(), hand.min(deck));
            prop_assert!(dealt.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(dealt.iter().all(|card| *card < deck));
        }
    }

    #[test]
    fn every_queue_is_dealt_about_as_often() {
        let mut counts = [0_u32; 16];
        for seed in 0_u64..4000 {
            let hash = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            deal(hash, 16, 4).into_iter().for_each(|card| counts[card] += 1);
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }
}
