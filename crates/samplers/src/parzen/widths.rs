//! How wide each kernel is: as far as its farther neighbour, but no narrower than the range over the number of
//! kernels, of which at most a hundred count ("magic clipping").

use super::axis::NumericAxis;
use super::mixture::KernelOptions;

/// The narrowest kernel without magic clipping.
const NARROWEST: f64 = 1e-12;

/// With magic clipping no kernel is narrower than the range over this.
pub(super) const CELLS_MAX: usize = 100;

/// The kernels' deviations: one for nearly all of them, and the exceptions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Widths {
    /// The smallest deviation.
    pub(crate) floor: f64,
    /// The kernels with a larger one, by rising index.
    pub(crate) wide: Vec<(usize, f64)>,
    /// Whether every kernel is centred in the range.
    pub(crate) all_inside: bool,
}

impl Widths {
    /// Of an axis without numbers.
    pub(crate) fn none() -> Widths {
        Widths { floor: 0.0, wide: Vec::new(), all_inside: true }
    }

    /// The deviations of the kernels at `mus`.
    pub(crate) fn new(mus: &[f64], axis: &NumericAxis, options: KernelOptions) -> Widths {
        // The prior counts as a kernel.
        let cells = CELLS_MAX.min(mus.len() + 2);
        let floor = if options.magic_clip { axis.width() / cells as f64 } else { NARROWEST.min(axis.width()) };
        let all_inside = mus.iter().fold(true, |inside, mu| inside & (axis.low <= *mu) & (*mu <= axis.high));
        let wide = if options.magic_clip && all_inside {
            wide_by_cells(mus, axis, floor, options)
        } else {
            wide_by_sorting(mus, axis, options)
        };
        Widths { floor, wide: clipped(wide, floor, axis), all_inside }
    }

    /// The deviation of one kernel.
    pub(crate) fn sigma(&self, index: usize) -> f64 {
        let found = self.wide.binary_search_by_key(&index, |&(other, _)| other);
        found.map_or(self.floor, |at| self.wide[at].1)
    }
}

/// The distance of each kernel to its farther neighbour. The outermost kernels look inwards only, unless the ends
/// of the range are to count as neighbours. Equal kernels stand in the order of their indices.
fn wide_by_sorting(mus: &[f64], axis: &NumericAxis, options: KernelOptions) -> Vec<(usize, f64)> {
    let mut order: Vec<usize> = (0..mus.len()).collect();
    order.sort_by(|&a, &b| mus[a].total_cmp(&mus[b]));
    let (to_low, to_high) = outward_gaps(mus.len(), options);
    let gap = |at: usize| {
        let mu = mus[order[at]];
        let left = match at.checked_sub(1) {
            Some(before) => mu - mus[order[before]],
            None => to_low(mu, axis),
        };
        let right = match order.get(at + 1) {
            Some(&after) => mus[after] - mu,
            None => to_high(mu, axis),
        };
        (order[at], left.max(right))
    };
    (0..order.len()).map(gap).collect()
}

/// The gap of an outermost kernel on its outer side.
type OutwardGap = fn(f64, &NumericAxis) -> f64;

fn outward_gaps(n: usize, options: KernelOptions) -> (OutwardGap, OutwardGap) {
    if n > 1 && !options.endpoints {
        (|_, _| 0.0, |_, _| 0.0)
    } else {
        (|mu, axis| mu - axis.low, |mu, axis| axis.high - mu)
    }
}

/// The same without a sort, for kernels that are all inside the range, and leaving out some that are clipped
/// anyway.
fn wide_by_cells(mus: &[f64], axis: &NumericAxis, floor: f64, options: KernelOptions) -> Vec<(usize, f64)> {
    let mut cells = Cells::new(axis, floor);
    for &mu in mus {
        // For now it only matters that it is more than none.
        cells.counts[cells.cell_of(mu)] = 1;
    }
    let lonely = cells.lonely();
    for (index, &mu) in mus.iter().enumerate() {
        let cell = cells.cell_of(mu);
        if lonely[cell] {
            cells.stretch(cell, mu, index);
        }
    }
    cells.wide(axis, mus.len(), options)
}

/// Cells that may be told apart: more than twice the number of floors in the range, and all that a byte can hold.
const CELLS: usize = 256;

/// Where along an axis kernels are, as far as it takes to tell which are wide.
///
/// The range is divided into cells half as long as the floor. Kernels of one cell or of two adjacent ones are no
/// farther apart than the floor, so that only kernels beside an empty cell can be wide, and of these only the
/// first and the last of their cell. With many kernels few cells are empty.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    low: f64,
    per_cell: f64,
    counts: [u32; CELLS],
    /// The first and the last kernel of each cell, place and index; equal ones stand in the order of their indices.
    first: [(f64, usize); CELLS],
    last: [(f64, usize); CELLS],
    /// Cells whose first or last kernel was taken out.
    stale: [bool; CELLS],
    /// Whether a cell was filled or emptied, or has another first or last kernel, since widths were last taken.
    is_changed: bool,
}

impl Cells {
    /// Cells without kernels.
    pub(super) fn new(axis: &NumericAxis, floor: f64) -> Cells {
        Cells {
            low: axis.low,
            per_cell: 2.0 / floor,
            counts: [0; CELLS],
            first: [(f64::INFINITY, 0); CELLS],
            last: [(f64::NEG_INFINITY, 0); CELLS],
            stale: [false; CELLS],
            is_changed: true,
        }
    }

    /// Whether other kernels may be wide than when widths were last taken.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    fn cell_of(&self, mu: f64) -> usize {
        /// Adding it leaves the nearest whole number in the low bits of the mantissa.
        const ROUND: f64 = 4_503_599_627_370_496.0;
        (((mu - self.low) * self.per_cell + ROUND).to_bits() & 0xff) as usize
    }

    /// Notes a kernel as the first or the last one of its cell, if it is.
    fn stretch(&mut self, cell: usize, mu: f64, index: usize) {
        if (mu, index) < self.first[cell] {
            self.first[cell] = (mu, index);
            self.is_changed = true;
        }
        if (mu, index) >= self.last[cell] {
            self.last[cell] = (mu, index);
            self.is_changed = true;
        }
    }

    /// Puts a kernel in.
    pub(super) fn insert(&mut self, mu: f64, index: usize) {
        let cell = self.cell_of(mu);
        self.counts[cell] += 1;
        self.stretch(cell, mu, index);
    }

    /// Takes a kernel out.
    pub(super) fn remove(&mut self, mu: f64, index: usize) {
        let cell = self.cell_of(mu);
        self.counts[cell] -= 1;
        let at_an_end = self.first[cell].1 == index || self.last[cell].1 == index;
        self.stale[cell] = self.counts[cell] > 0 && (self.stale[cell] || at_an_end);
        self.is_changed |= at_an_end || self.counts[cell] == 0;
        if self.counts[cell] == 0 {
            (self.first[cell], self.last[cell]) = ((f64::INFINITY, 0), (f64::NEG_INFINITY, 0));
        }
    }

    /// Looks again at the cells that matter and whose ends are not known: `visit` hands over kernels in a stretch of the
    /// axis: all of them, or those from each end until it is told that one is in the cell.
    pub(super) fn refresh(&mut self, mut visit: impl FnMut([f64; 2], &mut dyn FnMut(f64, usize) -> bool)) {
        let lonely = self.lonely();
        for cell in (0..CELLS).filter(|&cell| self.stale[cell] && lonely[cell]).collect::<Vec<_>>() {
            self.stale[cell] = false;
            (self.first[cell], self.last[cell]) = ((f64::INFINITY, 0), (f64::NEG_INFINITY, 0));
            // One cell more to both sides, so that rounding leaves nobody out.
            let place = |cell: f64| self.low + cell / self.per_cell;
            let stretch = [place(cell as f64 - 1.5), place(cell as f64 + 1.5)];
            visit(stretch, &mut |mu, index| {
                let is_in = self.cell_of(mu) == cell;
                if is_in {
                    self.stretch(cell, mu, index);
                }
                is_in
            });
        }
    }

    /// The cells that have kernels and an empty one beside them.
    fn lonely(&self) -> [bool; CELLS] {
        std::array::from_fn(|cell| {
            let close_left = cell > 0 && self.counts[cell - 1] > 0;
            let close_right = self.counts.get(cell + 1).is_some_and(|&count| count > 0);
            self.counts[cell] > 0 && !(close_left && close_right)
        })
    }

    /// The kernels that may be wider than the floor, and how wide their gaps make them.
    fn wide(&self, axis: &NumericAxis, kernels: usize, options: KernelOptions) -> Vec<(usize, f64)> {
        let lonely = self.lonely();
        let (to_low, to_high) = outward_gaps(kernels, options);
        let used: Vec<usize> = (0..CELLS).filter(|&cell| self.counts[cell] > 0).collect();
        let mut wide = Vec::new();
        for (at, &cell) in used.iter().enumerate().filter(|(_, cell)| lonely[**cell]) {
            let (first, last) = (self.first[cell], self.last[cell]);
            let left = match at.checked_sub(1).map(|left| used[left]) {
                None => to_low(first.0, axis),
                Some(left) if left + 1 == cell => 0.0,
                Some(left) => first.0 - self.last[left].0,
            };
            let right = match used.get(at + 1) {
                None => to_high(last.0, axis),
                Some(&right) if cell + 1 == right => 0.0,
                Some(&right) => self.first[right].0 - last.0,
            };
            if first.1 == last.1 {
                wide.push((first.1, left.max(right)));
            } else {
                wide.extend([(first.1, left), (last.1, right)]);
            }
        }
        wide
    }

    /// The kernels that are wider than the floor, by index, and their deviations.
    pub(super) fn widths(
        &mut self,
        axis: &NumericAxis,
        floor: f64,
        kernels: usize,
        options: KernelOptions,
    ) -> Vec<(usize, f64)> {
        self.is_changed = false;
        clipped(self.wide(axis, kernels, options), floor, axis)
    }
}

/// Leaves out what the floor hides, and cuts what is wider than the range.
fn clipped(mut wide: Vec<(usize, f64)>, floor: f64, axis: &NumericAxis) -> Vec<(usize, f64)> {
    wide.retain(|&(_, sigma)| sigma > floor);
    for (_, sigma) in &mut wide {
        *sigma = sigma.min(axis.width());
    }
    wide.sort_unstable_by_key(|&(index, _)| index);
    wide
}
