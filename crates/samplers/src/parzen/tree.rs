//! Kernels of one width in a k-d tree that grows and shrinks: each node knows the box of its kernels, their mass, and
//! their mass times their age, so that what a whole node adds to a density lies between two numbers that are quickly
//! found.
//!
//! Bentley, "Multidimensional binary search trees used for associative searching", Communications of the ACM 18
//! (1975); rebuilt in parts as in Galperin and Rivest, "Scapegoat trees" (SODA 1993).

use std::ops::Range;

use super::taylor::{Between, Place, Taylor};

/// Kernels per leaf.
pub(super) const LEAF: usize = 64;

/// No node, no slot.
const NONE: u32 = u32::MAX;

/// How far apart, in deviations, two choices count as when it is decided where to cut.
const CHOICES_APART: f64 = 4.0;

/// A node whose half diagonal is longer than this, in deviations, has no moments: they would say nothing.
const REACH_MAX: f64 = 2.0;

/// How the places of an axis are to be read where it is decided where to cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent {
    /// So many deviations to a unit.
    Deviations(f64),
    /// Choices.
    Choices,
}

impl Extent {
    fn of(self, low: f64, high: f64) -> f64 {
        match self {
            Extent::Deviations(per_unit) => (high - low) * per_unit,
            Extent::Choices if high > low => CHOICES_APART,
            Extent::Choices => 0.0,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    parent: u32,
    pub(super) kind: Kind,
    count: u32,
    /// The sum of the kernels' factors.
    pub(super) mass: f64,
    /// The sum of factor times rank; ranks are those of when each was entered or last renewed.
    pub(super) moment: f64,
    /// Whether it has moments.
    has_moments: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Leaf(u32),
    /// Places up to `at` are in the first child. The axis after the last one is the trial's number.
    Inner {
        axis: u32,
        at: f64,
        children: [u32; 2],
    },
}

/// A kernel on its way into the tree.
#[derive(Clone, Copy, Debug)]
struct Row {
    number: u32,
    /// Where its places begin.
    at: u32,
    factor: f64,
    rank: f64,
    counts: bool,
}

/// The tree. A kernel's number is its trial's.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    extents: Vec<Extent>,
    nodes: Vec<Node>,
    /// For each node and axis the lowest and the highest place.
    boxes: Vec<[f64; 2]>,
    /// The axes along which places are in deviations and a kernel is normal, and moments along them: for each node its
    /// centre, and its moments about it.
    smooth: Vec<usize>,
    taylor: Option<Taylor>,
    centres: Vec<Place>,
    moments: Vec<f64>,
    /// For each axis the kernels' places, leaf by leaf.
    pub(super) places: Vec<Vec<f64>>,
    /// What a kernel's weight is multiplied by; 0 while it counts elsewhere.
    pub(super) factors: Vec<f64>,
    pub(super) numbers: Vec<u32>,
    /// Ranks as of when each was entered, or when they were last renewed.
    pub(super) ranks: Vec<f64>,
    /// The factors that kernels would have here, those elsewhere too.
    own_factors: Vec<f64>,
    slots: Vec<u32>,
    leaf_nodes: Vec<u32>,
    free_nodes: Vec<u32>,
    free_leaves: Vec<u32>,
    /// Whether it is only columns, without nodes; then slots are free one by one.
    is_flat: bool,
    free_slots: Vec<u32>,
}

impl Tree {
    pub(super) const ROOT: u32 = 0;

    /// The tree without kernels. Along the `smooth` axes places are in deviations and a kernel is normal.
    pub(super) fn new(extents: Vec<Extent>, smooth: Vec<usize>) -> Tree {
        let dims = extents.len();
        let mut tree = Tree {
            extents,
            taylor: Taylor::new(smooth.len()),
            smooth,
            centres: Vec::new(),
            moments: Vec::new(),
            nodes: Vec::new(),
            boxes: Vec::new(),
            places: vec![Vec::new(); dims],
            factors: Vec::new(),
            numbers: Vec::new(),
            ranks: Vec::new(),
            own_factors: Vec::new(),
            slots: Vec::new(),
            leaf_nodes: Vec::new(),
            free_nodes: Vec::new(),
            free_leaves: Vec::new(),
            is_flat: false,
            free_slots: Vec::new(),
        };
        let root = tree.new_node(NONE);
        tree.become_leaf(root, &[], &[]);
        tree
    }

    /// Columns without a tree, for kernels that are never asked for by where they are.
    pub(super) fn flat(extents: Vec<Extent>) -> Tree {
        Tree { is_flat: true, ..Tree::new(extents, Vec::new()) }
    }

    fn dims(&self) -> usize {
        self.extents.len()
    }

    pub(super) fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    /// The lowest and the highest place along each axis; empty boxes are the wrong way round.
    #[inline]
    pub(super) fn bounds(&self, node: u32) -> &[[f64; 2]] {
        let dims = self.dims();
        &self.boxes[node as usize * dims..][..dims]
    }

    /// The slots of a leaf's kernels.
    #[inline]
    pub(super) fn slots_of(&self, node: u32, leaf: u32) -> Range<usize> {
        let start = leaf as usize * LEAF;
        start..start + self.nodes[node as usize].count as usize
    }

    /// Where a kernel's columns are.
    pub(super) fn slot(&self, number: u32) -> Option<usize> {
        self.slots.get(number as usize).copied().filter(|&slot| slot != NONE).map(|slot| slot as usize)
    }

    /// Adds a kernel that is not there.
    pub(super) fn insert(&mut self, number: u32, places: &[f64], factor: f64, rank: f64) {
        if self.is_flat {
            let slot = self.free_slots.pop().map_or(self.numbers.len(), |slot| slot as usize);
            if slot == self.numbers.len() {
                self.resize(slot + 1);
            }
            return self.put(slot, number, places, factor, rank, true);
        }
        let dims = self.dims();
        let mut node = Tree::ROOT;
        let mut skewed = None;
        loop {
            for (bounds, &place) in self.boxes[node as usize * dims..][..dims].iter_mut().zip(places) {
                bounds[0] = bounds[0].min(place);
                bounds[1] = bounds[1].max(place);
            }
            let Kind::Inner { axis, at, children } = self.nodes[node as usize].kind else { break };
            self.nodes[node as usize].count += 1;
            self.add_moments(node, places, factor, rank);
            let place = places.get(axis as usize).copied().unwrap_or(f64::from(number));
            let next = children[usize::from(place > at)];
            let (here, there) =
                (self.nodes[node as usize].count as usize, self.nodes[next as usize].count as usize);
            // A child with much more than its half makes paths long.
            if skewed.is_none() && here > 8 * LEAF && there * 4 > here * 3 {
                skewed = Some(node);
            }
            node = next;
        }
        let Kind::Leaf(leaf) = self.nodes[node as usize].kind else { return };
        let count = self.nodes[node as usize].count as usize;
        if count < LEAF {
            self.put(leaf as usize * LEAF + count, number, places, factor, rank, true);
            self.nodes[node as usize].count += 1;
            self.add_moments(node, places, factor, rank);
            self.renew_upwards(node);
        } else {
            let (mut rows, mut coordinates) = self.gather(node);
            rows.push(Row { number, at: coordinates.len() as u32, factor, rank, counts: true });
            coordinates.extend_from_slice(places);
            self.build(node, &mut rows, &coordinates);
            self.renew_upwards(node);
        }
        if let Some(node) = skewed {
            let (mut rows, coordinates) = self.gather(node);
            self.build(node, &mut rows, &coordinates);
            self.renew_upwards(node);
        }
    }

    /// Takes a kernel out.
    pub(super) fn remove(&mut self, number: u32) {
        let Some(slot) = self.slot(number) else { return };
        if self.is_flat {
            self.slots[number as usize] = NONE;
            self.free_slots.push(slot as u32);
            return;
        }
        let node = self.leaf_nodes[slot / LEAF];
        self.nodes[node as usize].count -= 1;
        let last = slot / LEAF * LEAF + self.nodes[node as usize].count as usize;
        self.slots[number as usize] = NONE;
        if last != slot {
            for column in &mut self.places {
                column[slot] = column[last];
            }
            self.factors[slot] = self.factors[last];
            self.own_factors[slot] = self.own_factors[last];
            self.ranks[slot] = self.ranks[last];
            self.numbers[slot] = self.numbers[last];
            self.slots[self.numbers[slot] as usize] = slot as u32;
        }
        let mut up = self.nodes[node as usize].parent;
        while up != NONE {
            self.nodes[up as usize].count -= 1;
            up = self.nodes[up as usize].parent;
        }
        self.renew_upwards(node);
        self.renew_moments_upwards(node);
    }

    /// Says whether a kernel counts here or elsewhere.
    pub(super) fn set_counts(&mut self, number: u32, counts: bool) {
        let Some(slot) = self.slot(number) else { return };
        self.factors[slot] = if counts { self.own_factors[slot] } else { 0.0 };
        if !self.is_flat {
            let leaf = self.leaf_nodes[slot / LEAF];
            self.renew_upwards(leaf);
            self.renew_moments_upwards(leaf);
        }
    }

    /// Gives every kernel its present rank.
    pub(super) fn renew_ranks(&mut self, rank: impl Fn(u32) -> usize) {
        // Children may stand before their parents, so it is done downwards and back.
        let mut order = vec![Tree::ROOT];
        let mut next = 0;
        while let Some(&node) = order.get(next) {
            next += 1;
            match self.nodes[node as usize].kind {
                Kind::Inner { children, .. } => order.extend(children),
                Kind::Leaf(leaf) => {
                    for slot in self.slots_of(node, leaf) {
                        self.ranks[slot] = rank(self.numbers[slot]) as f64;
                    }
                }
            }
        }
        for node in order.into_iter().rev() {
            self.renew(node);
            self.renew_moments(node);
        }
    }

    /// Builds the tree of kernels anew; `places` has the places of each in turn.
    pub(super) fn load(&mut self, numbers: &[u32], factors: &[f64], places: &[f64]) {
        let (extents, smooth) = (std::mem::take(&mut self.extents), std::mem::take(&mut self.smooth));
        *self = Tree { is_flat: self.is_flat, ..Tree::new(extents, smooth) };
        let dims = self.dims();
        if self.is_flat {
            self.numbers.clear();
            self.resize(numbers.len());
            for (slot, (&number, &factor)) in numbers.iter().zip(factors).enumerate() {
                self.put(slot, number, &places[slot * dims..][..dims], factor, slot as f64, true);
            }
            return;
        }
        let mut rows: Vec<Row> = numbers
            .iter()
            .zip(factors)
            .enumerate()
            .map(|(k, (&number, &factor))| Row {
                number,
                at: (k * dims) as u32,
                factor,
                rank: k as f64,
                counts: true,
            })
            .collect();
        self.build(Tree::ROOT, &mut rows, places);
    }

    /// Visits the kernels whose places along an axis may be in a range.
    pub(super) fn visit(&self, axis: usize, range: [f64; 2], mut with: impl FnMut(f64, u32)) {
        let mut stack = vec![Tree::ROOT];
        while let Some(node) = stack.pop() {
            let [low, high] = self.bounds(node)[axis];
            if high < range[0] || low > range[1] {
                continue;
            }
            match self.nodes[node as usize].kind {
                Kind::Inner { children, .. } => stack.extend(children),
                Kind::Leaf(leaf) => {
                    self.slots_of(node, leaf).for_each(|slot| with(self.places[axis][slot], self.numbers[slot]));
                }
            }
        }
    }

    /// The longest path.
    #[cfg(test)]
    pub(super) fn depth(&self) -> usize {
        let mut deepest = 0;
        let mut stack = vec![(Tree::ROOT, 1)];
        while let Some((node, depth)) = stack.pop() {
            deepest = deepest.max(depth);
            if let Kind::Inner { children, .. } = self.nodes[node as usize].kind {
                stack.extend(children.map(|child| (child, depth + 1)));
            }
        }
        deepest
    }

    fn put(&mut self, slot: usize, number: u32, places: &[f64], factor: f64, rank: f64, counts: bool) {
        for (column, &place) in self.places.iter_mut().zip(places) {
            column[slot] = place;
        }
        self.own_factors[slot] = factor;
        self.factors[slot] = if counts { factor } else { 0.0 };
        self.ranks[slot] = rank;
        self.numbers[slot] = number;
        if number as usize >= self.slots.len() {
            self.slots.resize(number as usize + 1, NONE);
        }
        self.slots[number as usize] = slot as u32;
    }

    fn resize(&mut self, slots: usize) {
        self.places.iter_mut().for_each(|column| column.resize(slots, 0.0));
        self.factors.resize(slots, 0.0);
        self.own_factors.resize(slots, 0.0);
        self.ranks.resize(slots, 0.0);
        self.numbers.resize(slots, NONE);
    }

    /// Sums are always taken anew, since what is added and taken away again leaves traces.
    fn renew(&mut self, node: u32) {
        let (mass, moment) = match self.nodes[node as usize].kind {
            Kind::Inner { children: [a, b], .. } => {
                let (a, b) = (&self.nodes[a as usize], &self.nodes[b as usize]);
                (a.mass + b.mass, a.moment + b.moment)
            }
            Kind::Leaf(leaf) => {
                let slots = self.slots_of(node, leaf);
                let (factors, ranks) = (&self.factors[slots.clone()], &self.ranks[slots]);
                (factors.iter().sum(), factors.iter().zip(ranks).map(|(factor, rank)| factor * rank).sum())
            }
        };
        let node = &mut self.nodes[node as usize];
        (node.mass, node.moment) = (mass, moment);
    }

    /// How far a place is from a node's centre along the smooth axes.
    fn beyond_centre(&self, node: u32, places: impl Fn(usize) -> f64) -> Place {
        let mut distance = self.centres[node as usize];
        for (distance, &axis) in distance.iter_mut().zip(&self.smooth) {
            *distance = places(axis) - *distance;
        }
        distance
    }

    fn add_moments(&mut self, node: u32, places: &[f64], factor: f64, rank: f64) {
        let Some(taylor) = self.taylor.as_ref().filter(|_| self.nodes[node as usize].has_moments) else { return };
        let distance = self.beyond_centre(node, |axis| places[axis]);
        let len = taylor.len();
        taylor.add(&mut self.moments[node as usize * len..][..len], &distance, factor, rank);
    }

    /// Takes a node's moments anew, from its kernels.
    fn renew_moments(&mut self, node: u32) {
        if !self.nodes[node as usize].has_moments {
            return;
        }
        let Some(taylor) = self.taylor.take() else { return };
        let len = taylor.len();
        let mut sums = std::mem::take(&mut self.moments);
        let own = &mut sums[node as usize * len..][..len];
        own.fill(0.0);
        let mut stack = vec![node];
        while let Some(next) = stack.pop() {
            match self.nodes[next as usize].kind {
                Kind::Inner { children, .. } => stack.extend(children),
                Kind::Leaf(leaf) => {
                    for slot in self.slots_of(next, leaf) {
                        let distance = self.beyond_centre(node, |axis| self.places[axis][slot]);
                        taylor.add(own, &distance, self.factors[slot], self.ranks[slot]);
                    }
                }
            }
        }
        (self.moments, self.taylor) = (sums, Some(taylor));
    }

    fn renew_moments_upwards(&mut self, mut node: u32) {
        while node != NONE {
            self.renew_moments(node);
            node = self.nodes[node as usize].parent;
        }
    }

    /// Gives a new node moments if it is small enough.
    fn begin_moments(&mut self, node: u32, rows: &[Row], coordinates: &[f64]) {
        let Some(taylor) = &self.taylor else { return };
        let mut centre = Place::default();
        let mut square = 0.0;
        for (centre, &axis) in centre.iter_mut().zip(&self.smooth) {
            let [low, high] = self.bounds(node)[axis];
            *centre = 0.5 * (low + high);
            square += (0.5 * (high - low)) * (0.5 * (high - low));
        }
        let is_small = !rows.is_empty() && square <= REACH_MAX * REACH_MAX;
        self.nodes[node as usize].has_moments = is_small;
        if !is_small {
            return;
        }
        self.centres[node as usize] = centre;
        let len = taylor.len();
        self.moments[node as usize * len..][..len].fill(0.0);
        for row in rows {
            let factor = if row.counts { row.factor } else { 0.0 };
            self.add_moments(node, &coordinates[row.at as usize..], factor, row.rank);
        }
    }

    /// Between what the sums of a node lie at a point, and `|t|^2`, from its moments, if it has any and they say something.
    #[inline]
    pub(super) fn between(&self, node: u32, point: &Place) -> Option<(Between, f64)> {
        let taylor = self.taylor.as_ref().filter(|_| self.nodes[node as usize].has_moments)?;
        let (centre, bounds) = (&self.centres[node as usize], self.bounds(node));
        let (mut t, mut square, mut reach) = (Place::default(), 0.0, 0.0);
        for (at, &axis) in self.smooth.iter().enumerate() {
            let [low, high] = bounds[axis];
            t[at] = point[at] - centre[at];
            square += t[at] * t[at];
            reach += t[at].abs() * f64::max(high - centre[at], centre[at] - low);
        }
        if reach > taylor.reach_max() {
            return None;
        }
        let len = taylor.len();
        Some((taylor.between(&self.moments[node as usize * len..][..len], &t, reach), square))
    }

    fn renew_upwards(&mut self, mut node: u32) {
        while node != NONE {
            self.renew(node);
            node = self.nodes[node as usize].parent;
        }
    }

    /// Takes all kernels out of a node, which is then without children or leaf.
    fn gather(&mut self, node: u32) -> (Vec<Row>, Vec<f64>) {
        let (mut rows, mut coordinates) = (Vec::new(), Vec::new());
        let mut stack = vec![node];
        while let Some(next) = stack.pop() {
            match self.nodes[next as usize].kind {
                Kind::Inner { children, .. } => stack.extend(children),
                Kind::Leaf(leaf) => {
                    for slot in self.slots_of(next, leaf) {
                        rows.push(Row {
                            number: self.numbers[slot],
                            at: coordinates.len() as u32,
                            factor: self.own_factors[slot],
                            rank: self.ranks[slot],
                            counts: self.factors[slot] != 0.0,
                        });
                        coordinates.extend(self.places.iter().map(|column| column[slot]));
                    }
                    self.free_leaves.push(leaf);
                }
            }
            if next != node {
                self.free_nodes.push(next);
            }
        }
        (rows, coordinates)
    }

    fn new_node(&mut self, parent: u32) -> u32 {
        let fresh = Node { parent, kind: Kind::Leaf(NONE), count: 0, mass: 0.0, moment: 0.0, has_moments: false };
        if let Some(node) = self.free_nodes.pop() {
            self.nodes[node as usize] = fresh;
            return node;
        }
        self.nodes.push(fresh);
        self.boxes.resize(self.nodes.len() * self.dims(), [f64::INFINITY, f64::NEG_INFINITY]);
        if let Some(taylor) = &self.taylor {
            self.centres.resize(self.nodes.len(), Place::default());
            self.moments.resize(self.nodes.len() * taylor.len(), 0.0);
        }
        (self.nodes.len() - 1) as u32
    }

    fn become_leaf(&mut self, node: u32, rows: &[Row], coordinates: &[f64]) {
        let leaf = self.free_leaves.pop().unwrap_or_else(|| {
            self.resize(self.numbers.len() + LEAF);
            self.leaf_nodes.push(NONE);
            (self.leaf_nodes.len() - 1) as u32
        });
        self.leaf_nodes[leaf as usize] = node;
        self.nodes[node as usize].kind = Kind::Leaf(leaf);
        let dims = self.dims();
        for (k, row) in rows.iter().enumerate() {
            let places = &coordinates[row.at as usize..][..dims];
            self.put(leaf as usize * LEAF + k, row.number, places, row.factor, row.rank, row.counts);
        }
    }

    /// Makes a node of rows.
    fn build(&mut self, node: u32, rows: &mut [Row], coordinates: &[f64]) {
        let dims = self.dims();
        self.nodes[node as usize].count = rows.len() as u32;
        for axis in 0..dims {
            let mut bounds = [f64::INFINITY, f64::NEG_INFINITY];
            for row in &*rows {
                let place = coordinates[row.at as usize + axis];
                bounds = [bounds[0].min(place), bounds[1].max(place)];
            }
            self.boxes[node as usize * dims + axis] = bounds;
        }
        self.begin_moments(node, rows, coordinates);
        if rows.len() <= LEAF {
            self.become_leaf(node, rows, coordinates);
            self.renew(node);
            return;
        }
        let extent = |axis: usize| {
            let [low, high] = self.boxes[node as usize * dims + axis];
            self.extents[axis].of(low, high)
        };
        let mut widest = dims;
        let mut most = 0.0;
        for axis in 0..dims {
            if extent(axis) > most {
                (widest, most) = (axis, extent(axis));
            }
        }
        let place = |row: &Row| {
            if widest == dims { f64::from(row.number) } else { coordinates[row.at as usize + widest] }
        };
        let middle = rows.len() / 2;
        let (_, median, _) = rows.select_nth_unstable_by(middle, |a, b| place(a).total_cmp(&place(b)));
        let median = place(median);
        // The cut is after or before all that are equal to the median, and neither side is empty.
        let at = if rows.iter().any(|row| place(row) > median) {
            median
        } else {
            rows.iter().map(place).filter(|&place| place < median).fold(f64::NEG_INFINITY, f64::max)
        };
        let cut = partition(rows, |row| place(row) <= at);
        let children = [self.new_node(node), self.new_node(node)];
        self.nodes[node as usize].kind = Kind::Inner { axis: widest as u32, at, children };
        let (left, right) = rows.split_at_mut(cut);
        self.build(children[0], left, coordinates);
        self.build(children[1], right, coordinates);
        self.renew(node);
    }
}

/// Moves the elements that belong first to the front, and returns how many they are.
fn partition<T>(items: &mut [T], first: impl Fn(&T) -> bool) -> usize {
    let mut count = 0;
    for at in 0..items.len() {
        if first(&items[at]) {
            items.swap(at, count);
            count += 1;
        }
    }
    count
}
