//! A set of trial numbers that knows how many of its members are below any number.

/// Bits per word, and words between two counts that are kept.
const WORD: usize = 64;
const STRIDE: usize = 8;

/// A set of numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranks {
    words: Vec<u64>,
    /// How many members are in all words before each stride.
    before: Vec<u32>,
    len: usize,
}

impl Ranks {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    fn contains(&self, number: u32) -> bool {
        let word = self.words.get(number as usize / WORD);
        word.is_some_and(|word| word >> (number as usize % WORD) & 1 == 1)
    }

    /// True if every member is below the number.
    pub(super) fn all_below(&self, number: u32) -> bool {
        self.rank(number) == self.len
    }

    /// Adds a number that is not a member.
    pub(super) fn insert(&mut self, number: u32) {
        let word = number as usize / WORD;
        if word >= self.words.len() {
            let words = (word / STRIDE + 1) * STRIDE;
            self.words.resize(words, 0);
            self.before.resize(words / STRIDE, self.len as u32);
        }
        self.words[word] |= 1 << (number as usize % WORD);
        self.len += 1;
        self.before[word / STRIDE + 1..].iter_mut().for_each(|before| *before += 1);
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, number: u32) {
        let word = number as usize / WORD;
        self.words[word] &= !(1 << (number as usize % WORD));
        self.len -= 1;
        self.before[word / STRIDE + 1..].iter_mut().for_each(|before| *before -= 1);
    }

    /// How many members are below the number.
    #[inline]
    pub(super) fn rank(&self, number: u32) -> usize {
        let word = number as usize / WORD;
        let Some(&before) = self.before.get(word / STRIDE) else { return self.len };
        let full = &self.words[word / STRIDE * STRIDE..word];
        let part = self.words[word] & ((1 << (number as usize % WORD)) - 1);
        before as usize
            + full.iter().map(|word| word.count_ones() as usize).sum::<usize>()
            + part.count_ones() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_an_ordered_set(numbers in prop::collection::vec(0_u32..3000, 0..400), probe in 0_u32..4000) {
            let (mut ranks, mut plain) = (Ranks::default(), BTreeSet::new());
            for number in numbers {
                // The second time it goes again.
                if plain.insert(number) {
                    ranks.insert(number);
                } else {
                    plain.remove(&number);
                    ranks.remove(number);
                }
                prop_assert_eq!(ranks.contains(number), plain.contains(&number));
            }
            prop_assert_eq!(ranks.len(), plain.len());
            prop_assert_eq!(ranks.rank(probe), plain.range(..probe).count());
            prop_assert_eq!(ranks.all_below(probe), plain.range(probe..).count() == 0);
        }
    }
}
