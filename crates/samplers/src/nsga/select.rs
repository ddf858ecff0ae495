//! Who of new trials and the parents become the next parents: ranks first, and among the last rank that does not fit
//! those who are least crowded (NSGA-II), or who stand for directions that few others stand for (NSGA-III).

use std::cmp::Ordering;

use trialog_numerics::{Points, Stream, crowding_distances, nearest_directions, non_dominated_ranks, normalized};
use trialog_ops::TrialNumber;

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

/// Trials that may have children, and who of two of them comes before the other in a tournament.
#[derive(Debug)]
pub(crate) struct Parents {
    pub(crate) members: Vec<Member>,
    /// Rank and crowding distance within the rank of each.
    standing: Vec<(u32, f64)>,
}

impl Parents {
    pub(crate) fn new(members: Vec<Member>) -> Parents {
        let ranks = ranks(&members);
        let mut standing: Vec<(u32, f64)> = ranks.iter().map(|&rank| (rank, 0.0)).collect();
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&at| ranks[at]);
        for front in order.chunk_by(|&a, &b| ranks[a] == ranks[b]) {
            for (&at, distance) in front.iter().zip(distances(&members, front)) {
                standing[at].1 = distance;
            }
        }
        Parents { members, standing }
    }

    /// Crowded comparison (Deb et al. 2002, section III B): the better rank, and of one rank the less crowded.
    pub(crate) fn precedes(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.standing[a], self.standing[b]);
        a.0 < b.0 || (a.0 == b.0 && a.1 > b.1)
    }

    pub(crate) fn numbers(&self) -> Vec<TrialNumber> {
        self.members.iter().map(|member| TrialNumber(member.number)).collect()
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
    let distances = distances(members, edge);
    let mut order: Vec<usize> = (0..edge.len()).collect();
    let by_distance = |a: &usize, b: &usize| distances[*b].partial_cmp(&distances[*a]).unwrap_or(Ordering::Equal);
    order.sort_by(|a, b| by_distance(a, b).then(members[edge[*a]].number.cmp(&members[edge[*b]].number)));
    order.into_iter().take(count).map(|at| edge[at]).collect()
}

/// The crowding distances of some members among each other.
fn distances(members: &[Member], of: &[usize]) -> Vec<f64> {
    let dims = members.first().map_or(0, |member| member.losses.len());
    let losses: Vec<f64> = of.iter().flat_map(|&at| &members[at].losses).copied().collect();
    crowding_distances(Points::new(&losses, dims))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<f64> {
        text.split_whitespace().map(|word| word.parse().expect("a number")).collect()
    }

    /// Whole populations contend with the parents of the one before. See `tests/golden/nsga.py` for the form of a case.
    fn check_parents(golden: &str) {
        let (mut size, mut header) = (0, "");
        let (mut signs, mut trials): (Vec<f64>, Vec<Member>) = (Vec::new(), Vec::new());
        for line in golden.lines() {
            if let Some(rest) = line.strip_prefix("case ") {
                header = rest;
                let mut words = rest.split(' ');
                size = words.next().expect("a size").parse().expect("a number");
                signs = words.map(|word| if word == "maximize" { -1.0 } else { 1.0 }).collect();
                trials.clear();
            } else if let Some(expected) = line.strip_prefix("parents") {
                let parents = trials.chunks_exact(size).fold(Vec::new(), |parents, population| {
                    elite(population.iter().cloned().chain(parents).collect(), size, Cut::Crowding)
                });
                let mut parents: Vec<f64> = parents.iter().map(|member| f64::from(member.number)).collect();
                parents.sort_by(f64::total_cmp);
                assert_eq!(parents, numbers(expected), "{header}");
            } else {
                let (values, constraints) = line.split_once('|').expect("values and constraints");
                let losses = numbers(values).iter().zip(&signs).map(|(value, sign)| value * sign).collect();
                let violation = numbers(constraints).iter().map(|value| value.max(0.0)).sum();
                trials.push(Member { number: trials.len() as u32, losses, violation });
            }
        }
    }

    #[test]
    fn parents_are_optunas() {
        check_parents(include_str!("../../tests/golden/nsga-optuna-5.0.0.txt"));
    }

    #[test]
    #[should_panic(expected = "2 minimize")]
    fn canary() {
        check_parents("case 2 minimize\n1.0 |\n2.0 |\n0.5 |\n3.0 |\nparents 0 1");
    }

    /// Five on a front, of which the second has near neighbours, one behind them, and one that is infeasible.
    #[test]
    fn tournaments_go_by_rank_and_then_by_crowding() {
        let member = |number, losses: [f64; 2], violation| Member { number, losses: losses.to_vec(), violation };
        let parents = Parents::new(vec![
            member(0, [0.0, 1.0], 0.0),
            member(1, [0.1, 0.9], 0.0),
            member(2, [0.2, 0.8], 0.0),
            member(3, [0.6, 0.4], 0.0),
            member(4, [1.0, 0.0], 0.0),
            member(5, [1.0, 1.0], 0.0),
            member(6, [0.0, 0.0], 0.1),
        ]);
        let order = [0, 3, 2, 1, 5, 6];
        for (place, &a) in order.iter().enumerate() {
            assert!(order[place + 1..].iter().all(|&b| parents.precedes(a, b) && !parents.precedes(b, a)), "{a}");
        }
        assert!(!parents.precedes(0, 4) && !parents.precedes(4, 0), "both ends are equally far out");
    }

    /// The ends of a front are in already. Of the two on the diagonal, for which nobody stands, the nearer one comes
    /// first; then its direction has one, as the one at the end, and chance decides.
    #[test]
    fn a_direction_without_anybody_gets_its_nearest() {
        let member = |number, losses: [f64; 2]| Member { number, losses: losses.to_vec(), violation: 0.0 };
        let members = [[0.0, 1.0], [1.0, 0.0], [0.4, 0.5], [0.45, 0.47], [0.02, 0.98]];
        let members: Vec<Member> = (0..).zip(members).map(|(number, losses)| member(number, losses)).collect();
        let directions = [1.0, 0.0, 0.5, 0.5, 0.0, 1.0];
        let chosen = |count, seed| niched(&members, &[0, 1], &[2, 3, 4], count, &directions, [seed, 0, 0]);
        let seconds: std::collections::BTreeSet<usize> = (0..64)
            .map(|seed| {
                assert_eq!(chosen(1, seed), [3]);
                assert_eq!(chosen(2, seed)[0], 3);
                chosen(2, seed)[1]
            })
            .collect();
        assert_eq!(seconds, [2, 4].into());
        assert_eq!(chosen(9, 0).len(), 3, "more than there are");
    }
}
