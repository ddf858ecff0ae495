//! Regression trees, and forests of them.
//!
//! Breiman, "Random forests", Machine Learning 45 (2001); Geurts, Ernst and Wehenkel, "Extremely randomized trees",
//! Machine Learning 63 (2006); means and variances as in Hutter, Xu, Hoos and Leyton-Brown, "Algorithm runtime
//! prediction: methods and evaluation", Artificial Intelligence 206 (2014), section 4.3.

use trialog_numerics::Stream;

/// How trees are grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth {
    /// Trees per forest.
    pub(crate) trees: usize,
    /// Splits are drawn at random, and all rows are used; otherwise splits are the best ones of a bootstrap sample.
    pub(crate) is_extra: bool,
    /// No leaf has fewer rows.
    pub(crate) least: usize,
}

/// What trees learn from, by coordinate. Categories are indices.
#[derive(Clone, Debug)]
pub(crate) struct Table<'a> {
    pub(crate) columns: &'a [Vec<f64>],
    /// How many categories a coordinate has; none if it has an order.
    pub(crate) categories: &'a [Option<usize>],
    pub(crate) y: &'a [f64],
}

/// A node, small enough that a tree stays in the nearest cache.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Which coordinate decides; [`LEAF`] if none does. With [`CATEGORY`] it is one of categories.
    column: u32,
    /// Where the pair of nodes begins between which it decides. A leaf's place in the list of variances.
    next: u32,
    /// Values up to this go to the first of the pair; the list of categories that do; the mean of a leaf.
    value: f64,
}

const LEAF: u32 = u32::MAX;
const CATEGORY: u32 = 1 << 31;

/// A regression tree.
#[derive(Clone, Debug, Default)]
struct Tree {
    nodes: Vec<Node>,
    variances: Vec<f64>,
    /// For each split by categories, which of them go to the first node.
    first: Vec<Vec<bool>>,
}

impl Tree {
    /// The mean and variance of the leaf that a point falls into.
    #[inline]
    fn leaf(&self, point: &[f64]) -> (f64, f64) {
        let mut node = self.nodes[0];
        while node.column != LEAF {
            let is_second = if node.column & CATEGORY == 0 {
                point[node.column as usize] > node.value
            } else {
                let category = point[(node.column ^ CATEGORY) as usize] as usize;
                !self.first[node.value as usize].get(category).copied().unwrap_or(false)
            };
            node = self.nodes[node.next as usize + usize::from(is_second)];
        }
        (node.value, self.variances[node.next as usize])
    }
}

/// Several trees, whose predictions are averaged.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    trees: Vec<Tree>,
}

impl Forest {
    pub(crate) fn grow(table: &Table<'_>, growth: Growth, stream: &mut Stream) -> Forest {
        // Each coordinate's order is found once; every tree and node takes a part of it.
        let order = |column: &Vec<f64>| {
            let mut order: Vec<u32> = (0..table.y.len() as u32).collect();
            order.sort_by(|&a, &b| column[a as usize].total_cmp(&column[b as usize]).then(a.cmp(&b)));
            order
        };
        let orders: Vec<Vec<u32>> = table.columns.iter().map(order).collect();
        let trees = (0..growth.trees).map(|_| Grower::new(table, growth, &orders, stream).grow(stream)).collect();
        Forest { trees }
    }

    /// The mean and the variance at each point: by the law of total variance, that of the trees' means plus the mean
    /// of the leaves' variances (Hutter et al. 2014, section 4.3.2).
    pub(crate) fn predict(&self, points: &[Vec<f64>]) -> Vec<(f64, f64)> {
        let mut sums = vec![(0.0, 0.0, 0.0); points.len()];
        // Tree by tree, since a tree fits into a cache and a forest does not.
        for tree in &self.trees {
            for (point, sums) in points.iter().zip(&mut sums) {
                let (mean, variance) = tree.leaf(point);
                sums.0 += mean;
                sums.1 += mean * mean;
                sums.2 += variance;
            }
        }
        let n = self.trees.len() as f64;
        let total = |(means, squares, variances): (f64, f64, f64)| {
            let mean = means / n;
            (mean, (squares / n - mean * mean).max(0.0) + variances / n)
        };
        sums.into_iter().map(total).collect()
    }
}

/// A tree that grows.
struct Grower<'a> {
    table: &'a Table<'a>,
    growth: Growth,
    /// How often each row counts.
    weights: Vec<f64>,
    /// The rows in the order of each coordinate; a node's rows are one stretch, the same one for all coordinates.
    orders: Vec<Vec<u32>>,
    /// The coordinates, in an order that changes at random.
    columns: Vec<usize>,
    is_first: Vec<bool>,
    spare: Vec<u32>,
}

/// The best split so far.
struct Split {
    gain: f64,
    column: usize,
    rule: Rule,
}

/// What goes to the first of two nodes.
enum Rule {
    UpTo(f64),
    Among(Vec<bool>),
}

/// Weight, sum and sum of squares.
#[derive(Clone, Copy, Default)]
struct Sums {
    weight: f64,
    sum: f64,
}

impl Sums {
    fn add(&mut self, weight: f64, y: f64) {
        self.weight += weight;
        self.sum += weight * y;
    }

    fn without(self, other: Sums) -> Sums {
        Sums { weight: self.weight - other.weight, sum: self.sum - other.sum }
    }

    /// What a part adds to the sum of squares that a split explains.
    fn explained(self) -> f64 {
        self.sum * self.sum / self.weight
    }
}

impl<'a> Grower<'a> {
    fn new(table: &'a Table<'a>, growth: Growth, orders: &[Vec<u32>], stream: &mut Stream) -> Grower<'a> {
        let n = table.y.len();
        let mut weights = vec![if growth.is_extra { 1.0 } else { 0.0 }; n];
        if !growth.is_extra {
            for _ in 0..n {
                weights[stream.below(n as u64) as usize] += 1.0;
            }
        }
        let drawn = |order: &Vec<u32>| order.iter().copied().filter(|&row| weights[row as usize] > 0.0).collect();
        let columns = (0..orders.len()).collect();
        let orders = orders.iter().map(drawn).collect();
        Grower { table, growth, weights, orders, columns, is_first: vec![false; n], spare: vec![0; n] }
    }

    fn grow(mut self, stream: &mut Stream) -> Tree {
        let mut tree = Tree::default();
        let unknown = Node { column: LEAF, next: 0, value: 0.0 };
        tree.nodes.push(unknown);
        let mut open = vec![(0, 0, self.orders.first().map_or(0, Vec::len))];
        while let Some((at, start, end)) = open.pop() {
            let (mean, variance, sums) = self.sums(start, end);
            let is_open = variance > 0.0 && sums.weight >= 2.0 * self.growth.least as f64;
            let Some(split) = is_open.then(|| self.split(start, end, sums, stream)).flatten() else {
                tree.nodes[at] = Node { column: LEAF, next: tree.variances.len() as u32, value: mean };
                tree.variances.push(variance);
                continue;
            };
            let pair = tree.nodes.len();
            let middle = self.divide(start, end, &split);
            let column = split.column as u32;
            tree.nodes[at] = match split.rule {
                Rule::UpTo(value) => Node { column, next: pair as u32, value },
                Rule::Among(first) => {
                    tree.first.push(first);
                    Node { column: column | CATEGORY, next: pair as u32, value: (tree.first.len() - 1) as f64 }
                }
            };
            tree.nodes.extend([unknown, unknown]);
            open.extend([(pair, start, middle), (pair + 1, middle, end)]);
        }
        tree
    }

    fn rows(&self, column: usize, start: usize, end: usize) -> &[u32] {
        &self.orders[column][start..end]
    }

    /// Mean, variance and sums of a node's rows.
    fn sums(&self, start: usize, end: usize) -> (f64, f64, Sums) {
        let mut sums = Sums::default();
        let rows = if self.orders.is_empty() { &[] } else { self.rows(0, start, end) };
        for &row in rows {
            sums.add(self.weights[row as usize], self.table.y[row as usize]);
        }
        let mean = if sums.weight > 0.0 { sums.sum / sums.weight } else { 0.0 };
        if rows.len() == 1 {
            return (self.table.y[rows[0] as usize], 0.0, sums);
        }
        let around = |&row: &u32| {
            let distance = self.table.y[row as usize] - mean;
            self.weights[row as usize] * distance * distance
        };
        let variance = rows.iter().map(around).sum::<f64>() / sums.weight.max(1.0);
        (mean, variance, sums)
    }

    /// The split that explains most, among random ones or among all of some random coordinates.
    fn split(&mut self, start: usize, end: usize, all: Sums, stream: &mut Stream) -> Option<Split> {
        let dims = self.orders.len();
        // Five of six coordinates, as in SMAC; extremely randomized trees look at all.
        let count = if self.growth.is_extra { dims } else { (5 * dims).div_ceil(6) };
        let mut best: Option<Split> = None;
        for at in 0..dims {
            // Those beyond the count are looked at only where the others are constant.
            if at >= count && best.is_some() {
                break;
            }
            let other = at + stream.below((dims - at) as u64) as usize;
            self.columns.swap(at, other);
            let column = self.columns[at];
            let rows = self.rows(column, start, end);
            let found = match (self.table.categories[column], self.growth.is_extra) {
                (Some(count), is_extra) => self.split_categories(column, count, rows, all, is_extra, stream),
                (None, true) => self.split_at_random(column, rows, all, stream),
                (None, false) => self.split_best(column, rows, all, stream),
            };
            if let Some(found) = found
                && best.as_ref().is_none_or(|best| found.gain > best.gain)
            {
                best = Some(found);
            }
        }
        best
    }

    fn is_allowed(&self, part: Sums, all: Sums) -> bool {
        let least = self.growth.least as f64;
        part.weight >= least && all.weight - part.weight >= least
    }

    /// The best limit; where exactly between two neighbours it lies is random, so that trees differ there and the
    /// variance rises with the distance from them.
    fn split_best(&self, column: usize, rows: &[u32], all: Sums, stream: &mut Stream) -> Option<Split> {
        let values = &self.table.columns[column];
        let mut below = Sums::default();
        let mut best: Option<(f64, f64, f64)> = None;
        for pair in rows.windows(2) {
            let row = pair[0] as usize;
            below.add(self.weights[row], self.table.y[row]);
            let (low, high) = (values[row], values[pair[1] as usize]);
            if low < high && self.is_allowed(below, all) {
                let gain = below.explained() + all.without(below).explained();
                if best.is_none_or(|best| gain > best.0) {
                    best = Some((gain, low, high));
                }
            }
        }
        let (gain, low, high) = best?;
        let limit = low + stream.uniform() * (high - low);
        let limit = if limit < high { limit } else { low };
        Some(Split { gain, column, rule: Rule::UpTo(limit) })
    }

    /// A limit anywhere between the lowest and the highest.
    fn split_at_random(&self, column: usize, rows: &[u32], all: Sums, stream: &mut Stream) -> Option<Split> {
        let values = &self.table.columns[column];
        let (low, high) = (values[*rows.first()? as usize], values[*rows.last()? as usize]);
        let limit = low + stream.uniform() * (high - low);
        let count = rows.partition_point(|&row| values[row as usize] <= limit);
        let mut below = Sums::default();
        for &row in &rows[..count] {
            below.add(self.weights[row as usize], self.table.y[row as usize]);
        }
        if low >= high || !self.is_allowed(below, all) {
            return None;
        }
        let gain = below.explained() + all.without(below).explained();
        Some(Split { gain, column, rule: Rule::UpTo(limit) })
    }

    /// Categories in the order of their means, of which the best division is one of two stretches (Fisher, "On
    /// grouping for maximum homogeneity", JASA 53 (1958)); or two random groups. A category that no row of the node has goes
    /// either way by chance.
    fn split_categories(
        &self,
        column: usize,
        count: usize,
        rows: &[u32],
        all: Sums,
        is_extra: bool,
        stream: &mut Stream,
    ) -> Option<Split> {
        let values = &self.table.columns[column];
        let mut sums = vec![Sums::default(); count];
        for &row in rows {
            if let Some(sums) = sums.get_mut(values[row as usize] as usize) {
                sums.add(self.weights[row as usize], self.table.y[row as usize]);
            }
        }
        let mut present: Vec<usize> = (0..count).filter(|&category| sums[category].weight > 0.0).collect();
        let mean = |category: usize| sums[category].sum / sums[category].weight;
        let mut best: Option<(f64, usize)> = None;
        if is_extra {
            for at in 0..present.len() {
                let other = at + stream.below((present.len() - at) as u64) as usize;
                present.swap(at, other);
            }
        } else {
            present.sort_by(|&a, &b| mean(a).total_cmp(&mean(b)).then(a.cmp(&b)));
        }
        let only =
            if is_extra && present.len() > 1 { 1 + stream.below(present.len() as u64 - 1) as usize } else { 0 };
        let mut first = Sums::default();
        for (at, &category) in present.iter().enumerate().take(present.len().saturating_sub(1)) {
            first.weight += sums[category].weight;
            first.sum += sums[category].sum;
            if (is_extra && at + 1 != only) || !self.is_allowed(first, all) {
                continue;
            }
            let gain = first.explained() + all.without(first).explained();
            if best.is_none_or(|best| gain > best.0) {
                best = Some((gain, at + 1));
            }
        }
        let (gain, len) = best?;
        let mut is_first: Vec<bool> = (0..count).map(|_| stream.uniform() < 0.5).collect();
        for (at, &category) in present.iter().enumerate() {
            is_first[category] = at < len;
        }
        Some(Split { gain, column, rule: Rule::Among(is_first) })
    }

    /// Puts the first part's rows before the others', in every coordinate's order, and returns where they end.
    fn divide(&mut self, start: usize, end: usize, split: &Split) -> usize {
        let values = &self.table.columns[split.column];
        let mut middle = start;
        for &row in &self.orders[0][start..end] {
            let row = row as usize;
            let is_first = match &split.rule {
                Rule::UpTo(limit) => values[row] <= *limit,
                Rule::Among(first) => first.get(values[row] as usize).copied().unwrap_or(false),
            };
            self.is_first[row] = is_first;
            middle += usize::from(is_first);
        }
        // Every row is written to both places, and one of the two is kept: no branch to guess wrong.
        let spare = &mut self.spare[..end - start];
        for order in &mut self.orders {
            let order = &mut order[start..end];
            let (mut kept, mut others) = (0, 0);
            for at in 0..order.len() {
                let row = order[at];
                let is_first = usize::from(self.is_first[row as usize]);
                order[kept] = row;
                spare[others] = row;
                kept += is_first;
                others += 1 - is_first;
            }
            order[kept..].copy_from_slice(&spare[..others]);
        }
        middle
    }
}
