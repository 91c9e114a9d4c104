//! Which packets were there already: the index of a packet from its sequence number, and a window of seen indices
//! (RFC 3711 §3.3.1 and §3.3.2). One per authenticated stream.

/// Width of the window in packets. Libraries use 64 to 1024; a wide one tolerates retransmissions and reordering.
pub(crate) const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// A window over 48-bit (SRTP) or 31-bit (SRTCP) indices.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    /// Highest accepted index. Nothing accepted yet: none.
    top: Option<u64>,
    seen: [u64; WORDS],
}

impl Replay {
    pub fn new() -> Self {
        Self { top: None, seen: [0; WORDS] }
    }

    /// The index that a sequence number of 16 bits most likely stands for. The first packet of a stream begins with
    /// rollover counter 0. Nothing: it would lie before the first index.
    pub fn index_of(&self, sequence: u16) -> Option<u64> {
        match self.top {
            None => Some(u64::from(sequence)),
            Some(top) => {
                let distance = sequence.wrapping_sub(top as u16).cast_signed();
                top.checked_add_signed(i64::from(distance))
            }
        }
    }

    /// May a packet of this index still come?
    pub fn is_fresh(&self, index: u64) -> bool {
        match self.top {
            None => true,
            Some(top) if index > top => true,
            Some(top) => top - index < WINDOW && self.seen[word(index)] & bit(index) == 0,
        }
    }

    /// Marks an authenticated index as seen.
    pub fn accept(&mut self, index: u64) {
        match self.top {
            Some(top) if index <= top => {}
            Some(top) if index - top < WINDOW => {
                for between in top + 1..=index {
                    self.seen[word(between)] &= !bit(between);
                }
                self.top = Some(index);
            }
            _ => {
                self.seen = [0; WORDS];
                self.top = Some(index);
            }
        }
        self.seen[word(index)] |= bit(index);
    }
}

fn word(index: u64) -> usize {
    (index % WINDOW / 64) as usize
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_rollover_counter_grows_when_the_sequence_number_wraps() {
        let mut replay = Replay::new();
        for sequence in [65_534, 65_535, 0, 1] {
            let index = replay.index_of(sequence).unwrap();
            replay.accept(index);
        }
        assert_eq!(replay.index_of(2), Some(65_538));
        assert_eq!(replay.index_of(65_535), Some(65_535), "a late packet keeps the old counter");
        assert_eq!(Replay { top: Some(3), ..Replay::new() }.index_of(65_535), None, "before the first index");
    }

    proptest! {
        #[test]
        fn an_index_is_accepted_once_and_never_when_it_left_the_window(
            steps in prop::collection::vec((0u64..3_000, any::<bool>()), 1..400)
        ) {
            let mut replay = Replay::new();
            let mut seen = BTreeSet::new();
            let mut base = 0;
            for (step, forward) in steps {
                let index = if forward { base + step % 40 } else { step };
                base = base.max(index);
                let top = seen.last().copied();
                let expected = !seen.contains(&index) && top.is_none_or(|top: u64| index + WINDOW > top);
                prop_assert_eq!(replay.is_fresh(index), expected);
                if expected {
                    replay.accept(index);
                    seen.insert(index);
                }
            }
        }
    }
}
