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
}

impl Widths {
    /// The deviations of the kernels at `mus`.
    pub(crate) fn new(mus: &[f64], axis: &NumericAxis, options: KernelOptions) -> Widths {
        // The prior counts as a kernel.
        let cells = CELLS_MAX.min(mus.len() + 2);
        let floor = if options.magic_clip { axis.width() / cells as f64 } else { NARROWEST.min(axis.width()) };
        let order = if options.magic_clip { extremes(mus, axis, cells) } else { None };
        let mut wide = match order {
            Some(order) => gaps(mus, &order, axis, options),
            None => {
                let mut order: Vec<usize> = (0..mus.len()).collect();
                order.sort_by(|&a, &b| mus[a].total_cmp(&mus[b]));
                gaps(mus, &order, axis, options)
            }
        };
        wide.retain(|&(_, sigma)| sigma > floor);
        for (_, sigma) in &mut wide {
            *sigma = sigma.min(axis.width());
        }
        wide.sort_unstable_by_key(|&(index, _)| index);
        Widths { floor, wide }
    }

    /// The deviation of one kernel.
    pub(crate) fn sigma(&self, index: usize) -> f64 {
        let found = self.wide.binary_search_by_key(&index, |&(other, _)| other);
        found.map_or(self.floor, |at| self.wide[at].1)
    }
}

/// The distance of each kernel in `order`, which rises, to its farther neighbour. The outermost kernels look
/// inwards only, unless the ends of the range are to count as neighbours. Equal kernels stand in the order of
/// their indices.
fn gaps(mus: &[f64], order: &[usize], axis: &NumericAxis, options: KernelOptions) -> Vec<(usize, f64)> {
    let inwards_only = order.len() > 1 && !options.endpoints;
    let gap = |at: usize| {
        let mu = mus[order[at]];
        let left = match at.checked_sub(1) {
            Some(before) => mu - mus[order[before]],
            None if inwards_only => 0.0,
            None => mu - axis.low,
        };
        let right = match order.get(at + 1) {
            Some(&after) => mus[after] - mu,
            None if inwards_only => 0.0,
            None => axis.high - mu,
        };
        (order[at], left.max(right))
    };
    (0..order.len()).map(gap).collect()
}

/// The kernels that can be wider than the floor, in order of place: of a stretch as long as the floor, only the
/// first and the last can have a neighbour farther away than that. `None` if a kernel lies outside the range,
/// where there are no stretches.
///
/// This replaces a sort: what is between the two has gaps below the floor, so that leaving it out changes no
/// deviation that is not clipped anyway.
fn extremes(mus: &[f64], axis: &NumericAxis, cells: usize) -> Option<Vec<usize>> {
    const NONE: u32 = u32::MAX;
    let mut first = [(f64::INFINITY, NONE); CELLS_MAX];
    let mut last = [(f64::NEG_INFINITY, NONE); CELLS_MAX];
    let per_cell = cells as f64 / axis.width();
    let mut outside = mus.len() >= NONE as usize;
    for (index, &mu) in mus.iter().enumerate() {
        outside |= !(axis.low..=axis.high).contains(&mu);
        let cell = (((mu - axis.low) * per_cell) as usize).min(cells - 1);
        if mu < first[cell].0 {
            first[cell] = (mu, index as u32);
        }
        if mu >= last[cell].0 {
            last[cell] = (mu, index as u32);
        }
    }
    if outside {
        return None;
    }
    let used = first.iter().zip(&last).filter(|(first, _)| first.1 != NONE);
    let ends = used.flat_map(|(first, last)| [Some(first.1), Some(last.1).filter(|&index| index != first.1)]);
    Some(ends.flatten().map(|index| index as usize).collect())
}
