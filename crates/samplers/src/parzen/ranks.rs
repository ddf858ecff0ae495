//! A set of trial numbers that knows how many of its members are below any number.

/// Bits per word.
const WORD: usize = 64;

/// A set of numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranks {
    words: Vec<u64>,
    /// How many members are in all words before each word: more to change than with one count for several words, which
    /// happens once per trial, and less to add up, which happens for every kernel that is looked at.
    before: Vec<u32>,
    len: usize,
}

impl Ranks {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        let word = self.words.get(number as usize / WORD);
        word.is_some_and(|word| word >> (number as usize % WORD) & 1 == 1)
    }

    /// The members from this number on, rising.
    pub(super) fn from(&self, number: u32) -> impl Iterator<Item = u32> {
        let first = number as usize / WORD;
        let words = self.words.iter().enumerate().skip(first);
        words.flat_map(move |(at, &word)| {
            let mut rest = if at == first { word & (u64::MAX << (number as usize % WORD)) } else { word };
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some((at * WORD) as u32 + bit)
            })
        })
    }

    /// A number from which on there are at least so many members, or all, and few more.
    pub(super) fn start_of_last(&self, count: usize) -> u32 {
        let mut found = 0;
        let enough = self.words.iter().rposition(|word| {
            found += word.count_ones() as usize;
            found >= count
        });
        (enough.unwrap_or(0) * WORD) as u32
    }

    /// True if every member is below the number.
    pub(super) fn all_below(&self, number: u32) -> bool {
        self.rank(number) == self.len
    }

    /// Adds a number that is not a member.
    pub(super) fn insert(&mut self, number: u32) {
        let word = number as usize / WORD;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
            self.before.resize(word + 1, self.len as u32);
        }
        self.words[word] |= 1 << (number as usize % WORD);
        self.len += 1;
        self.before[word + 1..].iter_mut().for_each(|before| *before += 1);
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, number: u32) {
        let word = number as usize / WORD;
        self.words[word] &= !(1 << (number as usize % WORD));
        self.len -= 1;
        self.before[word + 1..].iter_mut().for_each(|before| *before -= 1);
    }

    /// How many members are below the number.
    #[inline]
    pub(super) fn rank(&self, number: u32) -> usize {
        let word = number as usize / WORD;
        let Some(&before) = self.before.get(word) else { return self.len };
        let part = self.words[word] & ((1 << (number as usize % WORD)) - 1);
        before as usize + part.count_ones() as usize
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
            prop_assert!(ranks.from(probe).eq(plain.range(probe..).copied()));
            let last = ranks.from(ranks.start_of_last(25)).count();
            prop_assert!(last >= plain.len().min(25) && last < 25 + WORD, "{last}");
            prop_assert_eq!(ranks.all_below(probe), plain.range(probe..).count() == 0);
        }
    }
}
