//! A column of values by trial number: in chunks that are shared until written, so that a clone is cheap and a
//! stretch in which nobody has a value costs nothing.

use std::sync::Arc;

/// Values per chunk. A chunk that begins is allocated whole, and copied whole when a view shares it.
const CHUNK: usize = 128;

/// Chunks per group. A clone of a column of a million values copies a hundred pointers.
const GROUP: usize = 64;

type Chunk<T> = Option<Arc<Vec<T>>>;

/// Values by index, all of them the default until they are set. Cloning shares the chunks.
#[derive(Clone, Debug)]
pub struct Column<T> {
    groups: Vec<Option<Arc<Vec<Chunk<T>>>>>,
    default: T,
}

impl<T: Clone> Column<T> {
    /// A column in which everything is `default`.
    #[must_use]
    pub fn new(default: T) -> Column<T> {
        Column { groups: Vec::new(), default }
    }

    /// The value at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> &T {
        self.chunk(index / CHUNK).get(index % CHUNK).unwrap_or(&self.default)
    }

    /// The values of chunk `chunk`, which begins at index `chunk * Column::<T>::CHUNK`; those that are missing
    /// at its end are the default.
    #[must_use]
    pub fn chunk(&self, chunk: usize) -> &[T] {
        let Some(Some(group)) = self.groups.get(chunk / GROUP) else { return &[] };
        match group.get(chunk % GROUP) {
            Some(Some(values)) => values,
            _ => &[],
        }
    }

    /// Indices per chunk.
    pub const CHUNK: usize = CHUNK;

    pub(crate) fn set(&mut self, index: usize, value: T) {
        *self.get_mut(index) = value;
    }

    /// Puts the values of a chunk that has none yet; those that are missing at its end are the default.
    pub(crate) fn set_chunk(&mut self, chunk: usize, values: Vec<T>) {
        let group = entry(&mut self.groups, chunk / GROUP, &None).get_or_insert_default();
        *entry(Arc::make_mut(group), chunk % GROUP, &None) = Some(Arc::new(values));
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut T {
        let (chunk, offset) = (index / CHUNK, index % CHUNK);
        let group = entry(&mut self.groups, chunk / GROUP, &None).get_or_insert_default();
        let chunk = entry(Arc::make_mut(group), chunk % GROUP, &None).get_or_insert_default();
        entry(Arc::make_mut(chunk), offset, &self.default)
    }
}

/// The entry at `index`, with defaults before it where the vector was shorter.
fn entry<'a, T: Clone>(values: &'a mut Vec<T>, index: usize, default: &T) -> &'a mut T {
    if index >= values.len() {
        values.resize(index + 1, default.clone());
    }
    &mut values[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_default_until_set() {
        let mut column = Column::new(7);
        column.set(5000, 1);
        assert_eq!([*column.get(0), *column.get(5000), *column.get(5001), *column.get(1 << 40)], [7, 1, 7, 7]);
        assert!(column.chunk(0).is_empty());
        column.set(1_000_000, 2);
        assert_eq!([*column.get(5000), *column.get(1_000_000), *column.get(999_999)], [1, 2, 7]);
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut column = Column::new(0);
        column.set(3, 1);
        let before = column.clone();
        column.set(3, 2);
        column.set(2000, 2);
        assert_eq!([*before.get(3), *before.get(2000)], [1, 0]);
        assert_eq!([*column.get(3), *column.get(2000)], [2, 2]);
    }
}
