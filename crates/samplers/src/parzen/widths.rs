//! How wide each kernel is: as far as its farther neighbour, but no narrower than the range over the number of
//! kernels, of which at most a hundred count ("magic clipping").

use super::axis::NumericAxis;
use super::mixture::KernelOptions;

/// The narrowest kernel without magic clipping.
const NARROWEST: f64 = 1e-12;

/// With magic clipping no kernel is narrower than the range over this.
const CELLS_MAX: usize = 100;

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
        let mut wide = if options.magic_clip && all_inside {
            wide_by_cells(mus, axis, floor, options)
        } else {
            wide_by_sorting(mus, axis, options)
        };
        wide.retain(|&(_, sigma)| sigma > floor);
        for (_, sigma) in &mut wide {
            *sigma = sigma.min(axis.width());
        }
        wide.sort_unstable_by_key(|&(index, _)| index);
        Widths { floor, wide, all_inside }
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
///
/// The range is divided into cells half as long as the floor. Kernels of one cell or of two adjacent ones are no
/// farther apart than the floor, so that only kernels beside an empty cell can be wide, and of these only the
/// first and the last of their cell. With many kernels few cells are empty.
fn wide_by_cells(mus: &[f64], axis: &NumericAxis, floor: f64, options: KernelOptions) -> Vec<(usize, f64)> {
    /// Adding it leaves the nearest whole number in the low bits of the mantissa.
    const ROUND: f64 = 4_503_599_627_370_496.0;
    /// More than twice the number of floors in the range, and all that a byte can tell apart.
    const CELLS: usize = 256;
    let per_cell = 2.0 / floor;
    let cell_of = |mu: f64| (((mu - axis.low) * per_cell + ROUND).to_bits() & 0xff) as usize;
    let mut used = [false; CELLS];
    for &mu in mus {
        used[cell_of(mu)] = true;
    }
    let used_cells: Vec<usize> = (0..CELLS).filter(|&cell| used[cell]).collect();
    let mut lonely = [false; CELLS];
    for (at, &cell) in used_cells.iter().enumerate() {
        let close_left = at.checked_sub(1).is_some_and(|left| used_cells[left] + 1 == cell);
        let close_right = used_cells.get(at + 1).is_some_and(|&right| cell + 1 == right);
        lonely[cell] = !(close_left && close_right);
    }
    // The first and the last kernel of each cell beside an empty one.
    let mut first = [(f64::INFINITY, 0_usize); CELLS];
    let mut last = [(f64::NEG_INFINITY, 0_usize); CELLS];
    for (index, &mu) in mus.iter().enumerate() {
        let cell = cell_of(mu);
        if lonely[cell] {
            if mu < first[cell].0 {
                first[cell] = (mu, index);
            }
            if mu >= last[cell].0 {
                last[cell] = (mu, index);
            }
        }
    }
    let (to_low, to_high) = outward_gaps(mus.len(), options);
    let mut wide = Vec::new();
    for (at, &cell) in used_cells.iter().enumerate().filter(|(_, cell)| lonely[**cell]) {
        let (first_here, last_here) = (first[cell], last[cell]);
        let left = match at.checked_sub(1).map(|left| used_cells[left]) {
            None => to_low(first_here.0, axis),
            Some(left) if left + 1 == cell => 0.0,
            Some(left) => first_here.0 - last[left].0,
        };
        let right = match used_cells.get(at + 1) {
            None => to_high(last_here.0, axis),
            Some(&right) if cell + 1 == right => 0.0,
            Some(&right) => first[right].0 - last_here.0,
        };
        if first_here.1 == last_here.1 {
            wide.push((first_here.1, left.max(right)));
        } else {
            wide.extend([(first_here.1, left), (last_here.1, right)]);
        }
    }
    wide
}
