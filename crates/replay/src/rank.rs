//! Order statistics of a growing multiset of numbers: ranks and quantiles without sorting again.

use std::sync::Arc;

/// Values per block before it is split in two.
const BLOCK: usize = 512;

/// Blocks per group before it is split in two.
const GROUP: usize = 64;

/// A sorted multiset of doubles without NaN, -0.0 before 0.0. Cloning shares the groups of blocks, and a change of a
/// clone copies one group and one block.
#[derive(Clone, Debug, Default)]
pub struct RankList {
    groups: Vec<Part<Block>>,
    len: usize,
}

type Block = Part<f64>;

/// A stretch of the list, never empty. Its end and size stand beside the pointer, so that finding a place means
/// looking into one group and one block only.
#[derive(Clone, Debug)]
struct Part<T> {
    last: f64,
    len: usize,
    inner: Arc<Vec<T>>,
}

impl Block {
    fn of_values(values: Vec<f64>) -> Block {
        Part { last: values.last().copied().unwrap_or(f64::NAN), len: values.len(), inner: Arc::new(values) }
    }

    /// Its size and end as its values are now.
    fn measure(&mut self) {
        self.len = self.inner.len();
        self.last = self.inner.last().copied().unwrap_or(f64::NAN);
    }
}

impl Part<Block> {
    fn of_blocks(blocks: Vec<Block>) -> Part<Block> {
        let mut group = Part { last: f64::NAN, len: 0, inner: Arc::new(blocks) };
        group.measure();
        group
    }

    /// Its size and end as its blocks say.
    fn measure(&mut self) {
        self.len = self.inner.iter().map(|block| block.len).sum();
        self.last = self.inner.last().map_or(f64::NAN, |block| block.last);
    }
}

/// How many values there are in the parts that end below something, and the part after them.
fn skip<T>(parts: &[Part<T>], below: impl Fn(f64) -> bool) -> (usize, Option<&Part<T>>) {
    let (before, from) = parts.split_at(parts.partition_point(|part| below(part.last)));
    (before.iter().map(|part| part.len).sum(), from.first())
}

/// The part that holds a rank; what is left of the rank is that within the part.
fn holding<'a, T>(parts: &'a [Part<T>], rank: &mut usize) -> Option<&'a Part<T>> {
    parts.iter().find(|part| match rank.checked_sub(part.len) {
        Some(rest) => {
            *rank = rest;
            false
        }
        None => true,
    })
}

/// The place of the part that a value belongs into: the first that does not end before it.
fn place<T>(parts: &[Part<T>], value: f64) -> usize {
    parts.partition_point(|part| part.last.total_cmp(&value).is_lt())
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
        let (before, group) = skip(&self.groups, &below);
        let Some(group) = group else { return before };
        let (inside, block) = skip(&group.inner, &below);
        before + inside + block.map_or(0, |block| block.inner.partition_point(|&v| below(v)))
    }

    /// The value at a rank, counted from 0 for the smallest.
    #[must_use]
    pub fn nth(&self, mut rank: usize) -> Option<f64> {
        let group = holding(&self.groups, &mut rank)?;
        let block = holding(&group.inner, &mut rank)?;
        block.inner.get(rank).copied()
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
        let blocks = self.groups.iter().flat_map(|group| group.inner.iter());
        blocks.flat_map(|block| block.inner.iter().copied())
    }

    /// The list of values that come in any order, none of them NaN. Blocks and groups are half full, so that later
    /// values find room.
    pub(crate) fn from_values(mut values: Vec<f64>) -> RankList {
        values.sort_unstable_by(f64::total_cmp);
        let blocks: Vec<Block> = values.chunks(BLOCK / 2).map(|values| Block::of_values(values.to_vec())).collect();
        let groups = blocks.chunks(GROUP / 2).map(|blocks| Part::of_blocks(blocks.to_vec())).collect();
        RankList { groups, len: values.len() }
    }

    /// Adds a value; NaN is left out.
    pub fn insert(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let at = place(&self.groups, value).min(self.groups.len().saturating_sub(1));
        let Some(group) = self.groups.get_mut(at) else {
            *self = RankList::from_values(vec![value]);
            return;
        };
        self.len += 1;
        group.len += 1;
        let blocks = Arc::make_mut(&mut group.inner);
        let in_group = place(blocks, value).min(blocks.len() - 1);
        let block = &mut blocks[in_group];
        let values = Arc::make_mut(&mut block.inner);
        values.insert(values.partition_point(|v| v.total_cmp(&value).is_lt()), value);
        let upper = (values.len() > BLOCK).then(|| values.split_off(BLOCK / 2));
        block.measure();
        if let Some(upper) = upper {
            blocks.insert(in_group + 1, Block::of_values(upper));
        }
        let upper = (blocks.len() > GROUP).then(|| blocks.split_off(GROUP / 2));
        match upper {
            None => group.last = blocks.last().map_or(value, |block| block.last),
            Some(upper) => {
                group.measure();
                self.groups.insert(at + 1, Part::of_blocks(upper));
            }
        }
    }

    pub(crate) fn remove(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let at = place(&self.groups, value);
        let Some(group) = self.groups.get_mut(at) else { return };
        let in_group = place(&group.inner, value);
        let Some(block) = group.inner.get(in_group) else { return };
        let index = block.inner.partition_point(|v| v.total_cmp(&value).is_lt());
        if block.inner.get(index).is_none_or(|v| v.to_bits() != value.to_bits()) {
            return;
        }
        self.len -= 1;
        let blocks = Arc::make_mut(&mut group.inner);
        let block = &mut blocks[in_group];
        Arc::make_mut(&mut block.inner).remove(index);
        block.measure();
        if block.len == 0 {
            blocks.remove(in_group);
        }
        group.measure();
        if group.len == 0 {
            self.groups.remove(at);
        }
    }
}

impl Extend<f64> for RankList {
    /// Adds values, NaN left out. Many at a time cost less than one by one.
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        let mut values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
        if values.len() < self.len / 8 {
            // In order, so that one block after the other is looked at.
            values.sort_unstable_by(f64::total_cmp);
            values.into_iter().for_each(|value| self.insert(value));
        } else if !values.is_empty() {
            values.extend(self.iter());
            *self = RankList::from_values(values);
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
            more in prop_oneof![0..20usize, 0..3000usize],
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
            let more: Vec<f64> = values.iter().cycle().take(more).map(|&v| f64::from(v) + 0.5).collect();
            let (before, held) = (list.clone(), plain.clone());
            list.extend(more.iter().copied());
            plain.extend(more);
            plain.sort_by(f64::total_cmp);
            prop_assert_eq!(before.iter().collect::<Vec<_>>(), held);
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

    /// Enough of them for many groups, in an order that splits blocks everywhere.
    #[test]
    fn many_values_keep_their_ranks() {
        const N: usize = 100_003;
        let mut list = RankList::default();
        (0..N).for_each(|i| list.insert((i * 7919 % N) as f64));
        assert!(list.groups.len() > 2 && list.groups.iter().all(|group| group.inner.len() <= GROUP));
        for rank in (0..N).step_by(997) {
            let value = rank as f64;
            assert_eq!((list.nth(rank), list.count_less(value)), (Some(value), rank));
            assert_eq!(list.count_greater(value), N - 1 - rank);
        }
        (0..N).for_each(|i| list.remove((i * 7919 % N) as f64));
        assert!(list.is_empty() && list.groups.is_empty() && list.nth(0).is_none());
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
