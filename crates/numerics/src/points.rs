//! Points in a space of losses: smaller is better in every coordinate.

/// Points of the same number of coordinates, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    values: &'a [f64],
    dims: usize,
}

impl<'a> Points<'a> {
    /// Reads the values as rows of `dims` coordinates. Values beyond the last whole row are ignored.
    #[must_use]
    pub fn new(values: &'a [f64], dims: usize) -> Points<'a> {
        let rows = values.len().checked_div(dims).unwrap_or(0);
        Points { values: &values[..rows * dims], dims }
    }

    /// The number of coordinates.
    #[must_use]
    pub fn dims(self) -> usize {
        self.dims
    }

    /// The number of points.
    #[must_use]
    pub fn len(self) -> usize {
        self.values.len().checked_div(self.dims).unwrap_or(0)
    }

    /// True if there is no point.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.values.is_empty()
    }

    /// The point at an index below [`Points::len`].
    #[must_use]
    pub fn row(self, index: usize) -> &'a [f64] {
        &self.values[index * self.dims..][..self.dims]
    }

    /// The indices of the points in lexicographic order, each different point once, by its lowest index; and
    /// for each point the place of its equal in that order. -0 equals 0.
    pub(crate) fn unique_in_order(self) -> (Vec<usize>, Vec<usize>) {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|&a, &b| lexicographic(self.row(a), self.row(b)).then(a.cmp(&b)));
        let mut unique: Vec<usize> = Vec::with_capacity(order.len());
        let mut place = vec![0; order.len()];
        for index in order {
            if unique.last().is_none_or(|&last| lexicographic(self.row(last), self.row(index)).is_ne()) {
                unique.push(index);
            }
            place[index] = unique.len() - 1;
        }
        (unique, place)
    }
}

fn lexicographic(a: &[f64], b: &[f64]) -> std::cmp::Ordering {
    // Adding zero turns -0.0 into 0.0, which `total_cmp` would tell apart.
    a.iter()
        .zip(b)
        .map(|(x, y)| (x + 0.0).total_cmp(&(y + 0.0)))
        .find(|o| o.is_ne())
        .unwrap_or(std::cmp::Ordering::Equal)
}
