//! An ordered map whose clones share what they have in common: entries in sorted blocks behind counted pointers.
//! A write to a clone copies one block and the list of blocks, so that holding a view makes no write expensive.

use std::sync::Arc;

/// Entries per block before it is split.
const BLOCK: usize = 128;

/// Entries by rising key.
#[derive(Clone, Debug)]
pub(crate) struct SharedMap<K, V> {
    /// None of them is empty.
    blocks: Vec<Arc<Vec<(K, V)>>>,
}

impl<K: Ord + Copy, V: Clone> SharedMap<K, V> {
    pub(crate) fn new() -> SharedMap<K, V> {
        SharedMap { blocks: Vec::new() }
    }

    /// The map of entries that come by rising key.
    pub(crate) fn from_sorted(entries: impl IntoIterator<Item = (K, V)>) -> SharedMap<K, V> {
        let mut entries = entries.into_iter();
        let blocks = std::iter::from_fn(|| {
            let block: Vec<(K, V)> = entries.by_ref().take(BLOCK).collect();
            (!block.is_empty()).then(|| Arc::new(block))
        });
        SharedMap { blocks: blocks.collect() }
    }

    /// The block and the place in it where the key is or would be; past the last block only if there is none.
    fn find(&self, key: K) -> (usize, Result<usize, usize>) {
        let ends_before = |block: &Arc<Vec<(K, V)>>| block.last().is_some_and(|(last, _)| *last < key);
        // Most keys come in rising order.
        let behind_all = self.blocks.last().is_none_or(ends_before);
        let at = if behind_all { self.blocks.len() } else { self.blocks.partition_point(ends_before) };
        let at = at.min(self.blocks.len().saturating_sub(1));
        let found = self.blocks.get(at).map_or(Err(0), |block| block.binary_search_by_key(&key, |(k, _)| *k));
        (at, found)
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        let (at, found) = self.find(key);
        let place = found.ok()?;
        Some(&self.blocks[at][place].1)
    }

    /// The value of the key, which begins as `V::default()`.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let (mut at, found) = self.find(key);
        let mut place = match found {
            Ok(place) => return &mut Arc::make_mut(&mut self.blocks[at])[place].1,
            Err(place) => place,
        };
        if self.blocks.is_empty() {
            self.blocks.push(Arc::new(Vec::new()));
        }
        if self.blocks[at].len() >= BLOCK {
            if place == BLOCK && at + 1 == self.blocks.len() {
                // Rising keys leave full blocks behind.
                self.blocks.push(Arc::new(Vec::new()));
                (at, place) = (at + 1, 0);
            } else {
                let upper = Arc::make_mut(&mut self.blocks[at]).split_off(BLOCK / 2);
                self.blocks.insert(at + 1, Arc::new(upper));
                if place > BLOCK / 2 {
                    (at, place) = (at + 1, place - BLOCK / 2);
                }
            }
        }
        let block = Arc::make_mut(&mut self.blocks[at]);
        block.insert(place, (key, V::default()));
        &mut block[place].1
    }

    pub(crate) fn remove(&mut self, key: K) {
        let (at, Ok(place)) = self.find(key) else { return };
        let block = Arc::make_mut(&mut self.blocks[at]);
        block.remove(place);
        if block.is_empty() {
            self.blocks.remove(at);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.blocks.iter().flat_map(|block| block.iter())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_tree(
            steps in prop::collection::vec((0..4u8, 0..600u32), 0..2000),
            rising in any::<bool>(),
            probe in 0..700u32,
        ) {
            let (mut map, mut tree) = (SharedMap::new(), BTreeMap::new());
            let mut clone = None;
            for (index, (what, key)) in steps.into_iter().enumerate() {
                let key = if rising { index as u32 } else { key };
                if what == 0 {
                    map.remove(key);
                    tree.remove(&key);
                } else {
                    *map.get_or_default(key) = index;
                    tree.insert(key, index);
                }
                if index == 1000 {
                    clone = Some((map.clone(), tree.clone()));
                    map = SharedMap::from_sorted(tree.clone());
                }
            }
            let entries = |map: &SharedMap<u32, usize>| map.iter().copied().collect::<Vec<_>>();
            let plain = |tree: &BTreeMap<u32, usize>| tree.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>();
            prop_assert_eq!(entries(&map), plain(&tree));
            prop_assert_eq!(map.get(probe), tree.get(&probe));
            if let Some((map, tree)) = clone {
                prop_assert_eq!(entries(&map), plain(&tree));
            }
        }
    }
}
