//! Order statistics of a growing multiset of numbers: ranks and quantiles without sorting again.

use std::sync::Arc;

/// Values per block before it is split in two.
const BLOCK: usize = 512;

/// A sorted multiset of doubles without NaN, -0.0 before 0.0. Cloning shares the blocks.
#[derive(Clone, Debug, Default)]
pub struct RankList {
    blocks: Vec<Arc<Vec<f64>>>,
    len: usize,
}

impl RankList {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many values are strictly less than `value`; none is less than NaN.
    #[must_use]
    pub fn count_less(&self, value: f64) -> usize {
        self.count(|v| v < value)
    }

    /// How many values are strictly greater than `value`; none is greater than NaN.
    #[must_use]
    pub fn count_greater(&self, value: f64) -> usize {
        self.len - self.count(|v| v <= value || value.is_nan())
    }

    fn count(&self, below: impl Fn(f64) -> bool) -> usize {
        let full = self.blocks.partition_point(|block| block.last().is_some_and(|&last| below(last)));
        let before: usize = self.blocks[..full].iter().map(|block| block.len()).sum();
        before + self.blocks.get(full).map_or(0, |block| block.partition_point(|&v| below(v)))
    }

    /// The value at a rank, counted from 0 for the smallest.
    #[must_use]
    pub fn nth(&self, mut rank: usize) -> Option<f64> {
        for block in &self.blocks {
            match block.get(rank) {
                Some(&value) => return Some(value),
                None => rank -= block.len(),
            }
        }
        None
    }

    /// The quantile `q` in `[0, 1]`, linear between neighbouring ranks as numpy has it by default; `None` of
    /// nothing.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let position = q.clamp(0.0, 1.0) * self.len.checked_sub(1)? as f64;
        let (below, above) = (self.nth(position.floor() as usize)?, self.nth(position.ceil() as usize)?);
        let fraction = position - position.floor();
        // Equal neighbours first: the difference of two infinities is no number.
        if below == above || fraction == 0.0 {
            return Some(below);
        }
        // From the nearer end, as numpy does, so that the last bit agrees.
        Some(if fraction < 0.5 {
            below + (above - below) * fraction
        } else {
            above - (above - below) * (1.0 - fraction)
        })
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        self.blocks.iter().flat_map(|block| block.iter().copied())
    }

    /// The list of values that come in any order, none of them NaN. The blocks are half full, so that later
    /// values find room.
    pub(crate) fn from_values(mut values: Vec<f64>) -> RankList {
        values.sort_unstable_by(f64::total_cmp);
        let blocks = values.chunks(BLOCK / 2).map(|block| Arc::new(block.to_vec())).collect();
        RankList { blocks, len: values.len() }
    }

    /// Adds a value; NaN is left out.
    pub fn insert(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.len += 1;
        let found =
            self.blocks.partition_point(|block| block.last().is_some_and(|last| last.total_cmp(&value).is_lt()));
        let at = found.min(self.blocks.len().saturating_sub(1));
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.push(Arc::new(vec![value]));
            return;
        };
        let block = Arc::make_mut(block);
        block.insert(block.partition_point(|v| v.total_cmp(&value).is_lt()), value);
        if block.len() > BLOCK {
            let upper = block.split_off(BLOCK / 2);
            self.blocks.insert(at + 1, Arc::new(upper));
        }
    }

    pub(crate) fn remove(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let at =
            self.blocks.partition_point(|block| block.last().is_some_and(|last| last.total_cmp(&value).is_lt()));
        let Some(block) = self.blocks.get_mut(at) else { return };
        let block = Arc::make_mut(block);
        let index = block.partition_point(|v| v.total_cmp(&value).is_lt());
        if block.get(index).is_some_and(|v| v.to_bits() == value.to_bits()) {
            block.remove(index);
            self.len -= 1;
            if block.is_empty() {
                self.blocks.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_sorted_vector(
            values in prop::collection::vec(-50i8..50, 0..2000),
            removed in prop::collection::vec(-50i8..50, 0..100),
            probe in -60i8..60,
            at_once in any::<bool>(),
        ) {
            let mut list = RankList::default();
            let mut plain: Vec<f64> = Vec::new();
            for v in values.iter().map(|&v| f64::from(v)) {
                list.insert(v);
                plain.push(v);
            }
            plain.sort_by(f64::total_cmp);
            if at_once {
                list = RankList::from_values(values.iter().map(|&v| f64::from(v)).collect());
            }
            for v in removed.iter().map(|&v| f64::from(v)) {
                list.remove(v);
                if let Some(index) = plain.iter().position(|&p| p == v) {
                    plain.remove(index);
                }
            }
            let probe = f64::from(probe);
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), plain.clone());
            prop_assert_eq!(list.len(), plain.len());
            prop_assert_eq!(list.count_less(probe), plain.iter().filter(|&&v| v < probe).count());
            prop_assert_eq!(list.count_greater(probe), plain.iter().filter(|&&v| v > probe).count());
            prop_assert_eq!(list.nth(plain.len() / 2), plain.get(plain.len() / 2).copied());
        }
    }

    #[test]
    fn zeros_keep_their_signs() {
        let mut list = RankList::default();
        for v in [0.0, -0.0, 0.0] {
            list.insert(v);
        }
        list.remove(0.0);
        assert_eq!(list.iter().map(f64::to_bits).collect::<Vec<_>>(), [(-0.0f64).to_bits(), 0]);
        assert_eq!((list.count_less(0.0), list.count_greater(-0.0)), (0, 0));
    }

    #[test]
    fn nothing_compares_with_nan() {
        let mut list = RankList::default();
        list.insert(1.0);
        assert_eq!((list.count_less(f64::NAN), list.count_greater(f64::NAN)), (0, 0));
    }

    #[test]
    fn quantiles_are_numpys() {
        let mut list = RankList::default();
        assert_eq!(list.quantile(0.5), None);
        for v in [3.0, 1.0, f64::NAN, 4.0, 1.5] {
            list.insert(v);
        }
        // numpy 2: np.nanpercentile([3, 1, nan, 4, 1.5], [0, 25, 50, 90, 100])
        for (q, expected) in [(0.0, 1.0), (0.25, 1.375), (0.5, 2.25), (0.9, 3.7), (1.0, 4.0)] {
            assert!((list.quantile(q).expect("four values") - expected).abs() < 1e-15, "{q}");
        }
        let mut infinite = RankList::default();
        infinite.insert(f64::INFINITY);
        infinite.insert(f64::INFINITY);
        assert_eq!(infinite.quantile(0.3), Some(f64::INFINITY));
    }
}
