//! Who of a generation and its parents become the next parents: ranks first, and among the last rank that does not fit
//! those who are least crowded (NSGA-II), or who stand for directions that few others stand for (NSGA-III).

use std::cmp::Ordering;

use trialog_numerics::{Points, Stream, crowding_distances, nearest_directions, non_dominated_ranks, normalized};

/// A trial that may have children.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) number: u32,
    /// Smaller is better.
    pub(crate) losses: Vec<f64>,
    /// The sum of its violations; 0 if it is feasible.
    pub(crate) violation: f64,
}

impl Member {
    /// Constrained domination (Deb et al. 2002, definition 1): feasible ones dominate infeasible ones, and of these the
    /// one with the smaller violation.
    pub(crate) fn dominates(&self, other: &Member) -> bool {
        match (self.violation > 0.0, other.violation > 0.0) {
            (false, false) => trialog_numerics::dominates(&self.losses, &other.losses),
            (false, true) => true,
            (true, false) => false,
            (true, true) => self.violation < other.violation,
        }
    }
}

/// How the last rank is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut<'a> {
    /// By crowding distance.
    Crowding,
    /// By directions, row by row; what is left to chance is drawn from the stream of this key.
    Directions(&'a [f64], [u64; 3]),
}

/// The best `count` members, better ranks first.
pub(crate) fn elite(members: Vec<Member>, count: usize, cut: Cut<'_>) -> Vec<Member> {
    if members.len() <= count {
        return members;
    }
    let ranks = ranks(&members);
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&at| ranks[at]);
    let last_rank = order.get(count.saturating_sub(1)).map_or(0, |&at| ranks[at]);
    let whole = order.partition_point(|&at| ranks[at] < last_rank);
    let edge_end = order.partition_point(|&at| ranks[at] <= last_rank);
    let (elite, edge) = (&order[..whole], &order[whole..edge_end]);
    let chosen = match cut {
        Cut::Crowding => least_crowded(&members, edge, count - whole),
        Cut::Directions(directions, key) => niched(&members, elite, edge, count - whole, directions, key),
    };
    let order: Vec<usize> = elite.iter().copied().chain(chosen).collect();
    let mut members: Vec<Option<Member>> = members.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| members[at].take()).collect()
}

/// Feasible ones by domination; the others come after them, by violation.
pub(crate) fn ranks(members: &[Member]) -> Vec<u32> {
    let is_feasible = |at: &usize| members[*at].violation <= 0.0;
    let (feasible, mut infeasible): (Vec<usize>, Vec<usize>) = (0..members.len()).partition(is_feasible);
    let dims = members.first().map_or(0, |member| member.losses.len());
    let losses: Vec<f64> = feasible.iter().flat_map(|&at| &members[at].losses).copied().collect();
    let mut ranks = vec![0; members.len()];
    let mut next = 0;
    for (&at, rank) in feasible.iter().zip(non_dominated_ranks(Points::new(&losses, dims))) {
        ranks[at] = rank;
        next = next.max(rank + 1);
    }
    infeasible.sort_by(|&a, &b| members[a].violation.total_cmp(&members[b].violation));
    for (place, &at) in infeasible.iter().enumerate() {
        if place > 0 && members[at].violation > members[infeasible[place - 1]].violation {
            next += 1;
        }
        ranks[at] = next;
    }
    ranks
}

/// Earlier trials first among equals.
fn least_crowded(members: &[Member], edge: &[usize], count: usize) -> Vec<usize> {
    let dims = members.first().map_or(0, |member| member.losses.len());
    let losses: Vec<f64> = edge.iter().flat_map(|&at| &members[at].losses).copied().collect();
    let distances = crowding_distances(Points::new(&losses, dims));
    let mut order: Vec<usize> = (0..edge.len()).collect();
    let by_distance = |a: &usize, b: &usize| distances[*b].partial_cmp(&distances[*a]).unwrap_or(Ordering::Equal);
    order.sort_by(|a, b| by_distance(a, b).then(members[edge[*a]].number.cmp(&members[edge[*b]].number)));
    order.into_iter().take(count).map(|at| edge[at]).collect()
}

/// Deb and Jain 2014, algorithm 4: again and again a direction that fewest stand for gets one of the members on its
/// side: the nearest if it has none yet, and any otherwise.
fn niched(
    members: &[Member],
    elite: &[usize],
    edge: &[usize],
    count: usize,
    directions: &[f64],
    key: [u64; 3],
) -> Vec<usize> {
    let dims = members.first().map_or(0, |member| member.losses.len());
    let directions = Points::new(directions, dims);
    let all = elite.iter().chain(edge);
    let losses: Vec<f64> = all.flat_map(|&at| &members[at].losses).copied().collect();
    let seen = normalized(Points::new(&losses, dims));
    let nearest = nearest_directions(Points::new(&seen, dims), directions);
    let mut counts = vec![0_usize; directions.len()];
    nearest[..elite.len()].iter().for_each(|&(direction, _)| counts[direction] += 1);
    // For each direction the members at the edge, the nearest last.
    let mut candidates: Vec<Vec<(f64, usize)>> = vec![Vec::new(); directions.len()];
    for (&at, &(direction, distance)) in edge.iter().zip(&nearest[elite.len()..]) {
        candidates[direction].push((distance, at));
    }
    for of_one in &mut candidates {
        of_one.sort_by(|a, b| b.0.total_cmp(&a.0).then(members[b.1].number.cmp(&members[a.1].number)));
    }
    let mut stream = Stream::new(&key);
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let open = || (0..counts.len()).filter(|&direction| !candidates[direction].is_empty());
        let Some(fewest) = open().map(|direction| counts[direction]).min() else { break };
        let least: Vec<usize> = open().filter(|&direction| counts[direction] == fewest).collect();
        let direction = least[stream.below(least.len() as u64) as usize];
        let of_one = &mut candidates[direction];
        let at = if fewest == 0 { of_one.len() - 1 } else { stream.below(of_one.len() as u64) as usize };
        chosen.push(of_one.remove(at).1);
        counts[direction] += 1;
    }
    chosen
}
