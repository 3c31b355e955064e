//! core: puts numbered packets back in order and says which are lost
//! In:    packets as they arrive: early, late, twice, never.
//! Out:   per number one [`Step`], in order: the packet, or that it is lost (and what follows it is at hand, for FEC).
//! Law:   after every `push`, `pop` until `None`.
//! Never: holds more than `patience` packets; waits for a packet by the clock.

use std::collections::BTreeMap;

/// The reordering buffer of one stream. `T` is what travels under a number.
pub struct Reorder<T> {
    /// The number to hand out next; unknown before the first packet.
    next: Option<u64>,
    waiting: BTreeMap<u64, T>,
    patience: usize,
    late: u64,
}

/// What became of the next number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    Packet(T),
    /// This one number is lost. [`Reorder::following`] is the packet right after it, if that is here.
    Lost,
    /// So many numbers in a row are missing that filling them in would only delay what follows.
    Jumped {
        lost: u64,
    },
}

impl<T> Reorder<T> {
    /// A packet counts as lost once `patience` (at least 1) later ones lie here. 1: at once when its successor arrives,
    /// nothing is delayed. n: it may overtake n − 1 others, and a loss delays the stream by as many.
    pub fn new(patience: usize) -> Self {
        Self { next: None, waiting: BTreeMap::new(), patience: patience.max(1), late: 0 }
    }

    /// Takes a packet in. `number` rises by one per packet and does not wrap. Packets that come after their number was
    /// given up, or twice, are dropped.
    pub fn push(&mut self, number: u64, packet: T) {
        if self.next.is_some_and(|next| number < next) {
            self.late += 1;
            return;
        }
        self.next.get_or_insert(number);
        self.waiting.entry(number).or_insert(packet);
    }

    /// What is settled by now; `None`: more packets must come first.
    pub fn pop(&mut self) -> Option<Step<T>> {
        let next = self.next?;
        if let Some(packet) = self.waiting.remove(&next) {
            self.next = Some(next + 1);
            return Some(Step::Packet(packet));
        }
        if self.waiting.len() < self.patience {
            return None;
        }
        let (&first, _) = self.waiting.first_key_value()?;
        let lost = first - next;
        if lost > MAX_FILLED {
            self.next = Some(first);
            return Some(Step::Jumped { lost });
        }
        self.next = Some(next + 1);
        Some(Step::Lost)
    }

    /// The packet whose number comes next, if it is here: after [`Step::Lost`] the one right behind the lost one.
    pub fn following(&self) -> Option<&T> {
        self.waiting.get(&self.next?)
    }

    /// How many packets came too late to be used (or twice).
    pub fn late(&self) -> u64 {
        self.late
    }
}

/// Half a second of 20 ms packets: concealment has long faded to silence by then.
const MAX_FILLED: u64 = 25;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(reorder: &mut Reorder<u64>) -> Vec<Step<u64>> {
        std::iter::from_fn(|| reorder.pop()).collect()
    }

    fn feed(patience: usize, numbers: &[u64]) -> Vec<Step<u64>> {
        let mut reorder = Reorder::new(patience);
        numbers
            .iter()
            .flat_map(|&n| {
                reorder.push(n, n);
                drain(&mut reorder)
            })
            .collect()
    }

    use Step::{Jumped, Lost, Packet};

    #[test]
    fn in_order_nothing_waits() {
        assert_eq!(feed(1, &[7, 8, 9]), [Packet(7), Packet(8), Packet(9)]);
    }

    /// A missing packet is given up as soon as the next is here, which is where FEC finds its copy.
    #[test]
    fn a_loss_is_known_with_its_successor() {
        let mut reorder = Reorder::new(1);
        reorder.push(1, 1);
        assert_eq!(drain(&mut reorder), [Packet(1)]);
        reorder.push(3, 3);
        assert_eq!(reorder.pop(), Some(Lost));
        assert_eq!(reorder.following(), Some(&3));
        assert_eq!(drain(&mut reorder), [Packet(3)]);
    }

    #[test]
    fn patience_forgives_an_overtaking() {
        assert_eq!(feed(2, &[1, 3, 2, 4]), [Packet(1), Packet(2), Packet(3), Packet(4)]);
        assert_eq!(feed(1, &[1, 3, 2, 4]), [Packet(1), Lost, Packet(3), Packet(4)]);
    }

    #[test]
    fn a_long_hole_is_jumped() {
        assert_eq!(feed(1, &[1, 1000]), [Packet(1), Jumped { lost: 998 }, Packet(1000)]);
    }

    proptest! {
        /// However packets arrive: numbers come out rising, each at most once, and little is held back.
        #[test]
        fn numbers_rise_whatever_comes(numbers in proptest::collection::vec(0u64..200, 0..300), patience in 1usize..6) {
            let mut reorder = Reorder::new(patience);
            let mut last = None;
            for &n in &numbers {
                reorder.push(n, n);
                for step in drain(&mut reorder) {
                    if let Packet(p) = step {
                        prop_assert!(last.is_none_or(|l| p > l));
                        last = Some(p);
                    }
                }
                prop_assert!(reorder.waiting.len() < patience);
            }
        }
    }
}
