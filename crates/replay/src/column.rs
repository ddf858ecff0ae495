//! A column of values by trial number: in chunks that are shared until written, so that a clone is cheap and a
//! stretch in which nobody has a value costs nothing.

use std::sync::Arc;

/// Values per chunk.
const CHUNK: usize = 1024;

/// Values by index, all of them the default until they are set. Cloning shares the chunks.
#[derive(Clone, Debug)]
pub struct Column<T> {
    chunks: Vec<Option<Arc<Vec<T>>>>,
    default: T,
}

impl<T: Clone> Column<T> {
    /// A column in which everything is `default`.
    #[must_use]
    pub fn new(default: T) -> Column<T> {
        Column { chunks: Vec::new(), default }
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
        match self.chunks.get(chunk) {
            Some(Some(values)) => values,
            _ => &[],
        }
    }

    /// Indices per chunk.
    pub const CHUNK: usize = CHUNK;

    pub(crate) fn set(&mut self, index: usize, value: T) {
        *self.get_mut(index) = value;
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut T {
        let (chunk, offset) = (index / CHUNK, index % CHUNK);
        if chunk >= self.chunks.len() {
            self.chunks.resize(chunk + 1, None);
        }
        let values = Arc::make_mut(self.chunks[chunk].get_or_insert_default());
        if offset >= values.len() {
            values.resize(offset + 1, self.default.clone());
        }
        &mut values[offset]
    }
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
